"""Redis time without asking Redis each time: the monotonic clock plus a measured offset.

Every stored deadline is in Redis time, and a node's own wall clock may be wrong or jump. At each lease
renewal the node asks Redis for the time and notes its distance from the monotonic clock, which never jumps;
so a jump of Redis's clock is noticed.
A measurement with a long round trip is inexact and is used only when the last good one is old.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

log = logging.getLogger(__name__)

#: A slower round trip leaves the moment of Redis's answer too uncertain.
GOOD_ROUND_TRIP_S = 0.1
#: After this long any measurement is better than none: monotonic clocks drift.
KEEP_GOOD_S = 60.0
#: How much two clocks drift apart that are slewed against each other, at most; of the time since then.
DRIFT = 0.001
#: The uncertainty before the first measurement, s.
UNKNOWN_S = 1e9
#: NTP moves a clock by less. A jump forward takes its time from every TTL and deadline in Redis.
JUMP_S = 60.0


def steady_clock() -> Callable[[], float]:
    """Return a clock, in seconds, that is never set and, where the system has such a one, runs during sleep.

    It is no function in Python, because it is asked for nearly every event.
    """
    boottime: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boottime is None else partial(time.clock_gettime, boottime)


class Stamp(NamedTuple):
    """A moment: by the monotonic clock, and in Redis time as it was known then, with its uncertainty."""

    steady_s: float
    redis_s: float
    error_s: float


class Clock(Protocol):
    """The present time in Redis time."""

    def now_ms(self) -> int: ...
    def now_s(self) -> float: ...


class StampingClock(Clock, Protocol):
    """One that also says when something was, although Redis's clock may have jumped since."""

    def stamp(self) -> Stamp: ...
    def bounds_ms(self, stamp: Stamp) -> tuple[int, int]: ...


class RedisClock:
    """Redis time in this process; the process's wall clock until the first measurement.

    Args:
        monotonic: seconds from any fixed point; None: `steady_clock`.
        wall: seconds since 1970, used only before the first measurement.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic or steady_clock()
        self._offset_s = wall() - self._monotonic()
        self._measured_at: float | None = None
        self._round_trip_s = 2 * UNKNOWN_S  # of the measurement in use
        #: Jumps of Redis's clock that were seen, and how far those went that are not reported yet, s.
        self.jumps = 0
        self._unreported_s = 0.0

    def now_s(self) -> float:
        return self._monotonic() + self._offset_s

    def now_ms(self) -> int:
        return int((self._monotonic() + self._offset_s) * 1000)

    def stamp(self) -> Stamp:
        """Return the present moment."""
        steady_s = self._monotonic()
        return Stamp(steady_s, steady_s + self._offset_s, self._error_s(steady_s))

    def bounds_ms(self, stamp: Stamp) -> tuple[int, int]:
        """Return between which Redis times a moment was, at the earliest and at the latest.

        If Redis's clock jumped since, forth or back, the moment has two times; the earlier one is returned.
        So what comes later has a later one, whichever of the two clocks it is measured by.
        """
        now_s = stamp.steady_s + self._offset_s
        error_s = self._error_s(self._monotonic())
        earliest_s = min(stamp.redis_s - stamp.error_s, now_s - error_s)
        latest_s = min(stamp.redis_s + stamp.error_s, now_s + error_s)
        return int(earliest_s * 1000), int(latest_s * 1000) + 1

    def _error_s(self, steady_s: float) -> float:
        return self._round_trip_s / 2 + DRIFT * (steady_s - (self._measured_at or steady_s))

    def measure(self, redis_now_ms: Callable[[], int]) -> int:
        """Compare with Redis: one round trip; return what it said. Raises what `redis_now_ms` raises."""
        before = self._monotonic()
        redis_ms = redis_now_ms()
        redis_s = redis_ms / 1000
        after = self._monotonic()
        last = self._measured_at
        offset_s = redis_s - (before + after) / 2
        has_jumped = (
            last is not None and abs(offset_s - self._offset_s) > JUMP_S + (after - before) / 2
        )
        if has_jumped:
            self._unreported_s += offset_s - self._offset_s
            self.jumps += 1
        is_good = after - before <= GOOD_ROUND_TRIP_S
        if is_good or has_jumped or last is None or after - last > KEEP_GOOD_S:
            self._offset_s = offset_s
            self._round_trip_s = after - before
            self._measured_at = after
        return redis_ms

    def report_jump(self, note: Callable[[float], object]) -> None:
        """Report a jump that was not reported yet: seconds, back is negative.

        Args:
            note: records it; what it raises comes through, and the jump is reported the next time.
        """
        if not self._unreported_s:
            return
        note(self._unreported_s)
        extra = {"action": "redis_clock_jumped", "jump_s": round(self._unreported_s)}
        log.error("the clock of Redis jumped", extra=extra)
        self._unreported_s = 0.0
