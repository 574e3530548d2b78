"""A node's calm: what it may do at once, instead of with the next interval, while it has little to do.

Intervals collect what comes in, so that many updates share one call of Redis, and many changes one frame. In a calm
fleet there is nothing to share, and waiting only makes everybody wait. So flushes and reads of the feed go at once as
long as a budget lasts that all they carry is charged to. A busy node has used it up and works by its intervals, and
the budget costs it nothing. Waiting for Redis uses it up too: where Redis is busy, nodes collect.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: How much of a second's budget may be used at once, or be missing: calm comes back this long after a load is gone.
BURST_S = 0.1


class Calm:
    """A bucket that fills with time, and that what was done is charged to.

    Args:
        per_s: updates or changes a second up to which a node is calm; 0: it never is.
    """

    def __init__(self, per_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._most = per_s * BURST_S
        self._monotonic = monotonic
        self._left = self._most
        self._filled_at = monotonic()

    def charge(self, count: float) -> None:
        """Note that so many updates or changes were carried."""
        self._left = max(self._filled() - count, -self._most)

    def charge_time(self, seconds: float) -> None:
        """Note that Redis took so long."""
        self.charge(seconds * self._per_s)

    def __bool__(self) -> bool:
        """Return whether what waits may go at once."""
        return self._filled() > 0

    def _filled(self) -> float:
        now = self._monotonic()
        left = self._left + (now - self._filled_at) * self._per_s
        self._filled_at = now
        self._left = min(left, self._most)
        return self._left
