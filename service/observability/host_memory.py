"""Memory for this process: how much is available, and when that is too little.

Where its container has less than the machine, that is the container's memory, and the machine's decides
nothing: a full machine does not stop an empty container. Else it is the machine's, as the kernel estimates it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from service.observability.cgroups import ControlGroups

#: Part of `memory.min_available_percent` below which nodes take no new connections.
CRITICAL_PART = 0.5
#: How long one reading is good for, s.
FRESH_S = 0.5

_groups = ControlGroups()


def available_percent() -> float:
    """Return the memory that this process can still have without swapping, in percent of all it may have."""
    machine = psutil.virtual_memory()
    container = _groups.memory(machine.total)
    if container is not None:
        return container.available_percent
    return 100.0 * float(machine.available) / float(machine.total)


class HostMemory:
    """Whether there is memory for more clients.

    Args:
        min_available_percent: `memory.min_available_percent`; 0: never too little.
        read: returns the available memory, percent.
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

    def read(self) -> float:
        """Return the available memory, percent; read again where that was longer ago than `FRESH_S`."""
        now = self._monotonic()
        if now - self._read_at >= FRESH_S:
            self._read_at = now
            self.available_percent = round(self._read(), 1)
        return self.available_percent

    @property
    def is_critical(self) -> bool:
        """Return whether new connections are to be refused."""
        return self.critical_percent > 0 and self.read() < self.critical_percent
