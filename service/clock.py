"""Redis time without asking Redis each time: the monotonic clock plus a measured offset.

Every stored deadline is in Redis time, and a node's own wall clock may be wrong or jump. At each lease
renewal the node asks Redis for the time and notes its distance from the monotonic clock, which never jumps.
A measurement with a long round trip is inexact and is used only when the last good one is old.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

#: A slower round trip leaves the moment of Redis's answer too uncertain.
GOOD_ROUND_TRIP_S = 0.1
#: After this long any measurement is better than none: monotonic clocks drift.
KEEP_GOOD_S = 60.0


class Clock(Protocol):
    """The present time in Redis time."""

    def now_ms(self) -> int: ...
    def now_s(self) -> float: ...


class RedisClock:
    """Redis time in this process; the process's wall clock until the first measurement.

    Args:
        monotonic: seconds from any fixed point.
        wall: seconds since 1970, used only before the first measurement.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._offset_s = wall() - monotonic()
        self._measured_at: float | None = None

    def now_s(self) -> float:
        return self._monotonic() + self._offset_s

    def now_ms(self) -> int:
        return int((self._monotonic() + self._offset_s) * 1000)

    def measure(self, redis_now_ms: Callable[[], int]) -> None:
        """Compare with Redis: one round trip. Raises what `redis_now_ms` raises."""
        before = self._monotonic()
        redis_s = redis_now_ms() / 1000
        after = self._monotonic()
        last = self._measured_at
        if after - before <= GOOD_ROUND_TRIP_S or last is None or after - last > KEEP_GOOD_S:
            self._offset_s = redis_s - (before + after) / 2
            self._measured_at = after
