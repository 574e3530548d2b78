"""Memory of this machine, and when there is too little of it.

What counts is the machine's available memory, as the kernel estimates it. In a container with a limit
of its own that is not the container's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

#: Part of `memory.min_available_percent` below which nodes take no new connections.
CRITICAL_PART = 0.5
#: How long one look is good for, s.
FRESH_S = 0.5


def available_percent() -> float:
    """Memory that programs can have without swapping, of all there is."""
    seen = psutil.virtual_memory()
    return 100.0 * float(seen.available) / float(seen.total)


class HostMemory:
    """Whether this machine has memory for more clients.

    Args:
        min_available_percent: `memory.min_available_percent`; 0: never too little.
        read: looks.
    """

    def __init__(
        self,
        min_available_percent: float,
        read: Callable[[], float] = available_percent,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.critical_percent = CRITICAL_PART * min_available_percent
        self._read = read
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self.available_percent = 100.0

    @property
    def is_critical(self) -> bool:
        """Whether new connections are to be refused."""
        if not self.critical_percent:
            return False
        now = self._monotonic()
        if now - self._read_at >= FRESH_S:
            self._read_at = now
            self.available_percent = round(self._read(), 1)
        return self.available_percent < self.critical_percent
