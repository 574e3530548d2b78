"""A share of each turn of the event loop for those who have not logged in.

What is ready is worked for in one turn, all of it, however many connections that are: a thousand that each
need a millisecond would let everybody else wait for a second. So work for strangers asks here first: a
number of pieces of it fits into a turn, the rest waits for the next ones in the order in which it came.
Devices' sockets are read, flushes sent and leases renewed in between.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from service.transport.hub import Hub

#: A turn lasts at least so long, so that what is ready is looked at in each.
TURN_S = 0.001
#: Pieces of work in one turn; a piece is a request or a few messages, up to about 1 ms.
PIECES = 4


class Turns:
    """Room for so many pieces of work in each turn of a loop."""

    def __init__(self, hub: Hub, pieces: int = PIECES) -> None:
        self._hub = hub
        self._pieces = pieces
        self._done = 0
        self._waiting: deque[Any] = deque()

    def try_enter(self) -> bool:
        """Whether there is room in this turn; it is taken then. For callbacks of the loop."""
        if self._done >= self._pieces:
            return False
        if not self._done:
            self._hub.later(TURN_S, self._next)
        self._done += 1
        return True

    def enter(self) -> None:
        """Wait until there is room. For tasks."""
        if self._waiting or not self.try_enter():
            self._waiting.append(self._hub.current())
            self._hub.park()

    def _next(self) -> None:
        waiting = self._waiting
        self._done = min(len(waiting), self._pieces)
        if self._done:
            self._hub.later(TURN_S, self._next)
        for _ in range(self._done):
            self._hub.wake(waiting.popleft())
