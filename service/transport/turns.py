"""Turns: the share of each turn of the event loop for clients that have not logged in.

The loop handles everything that is ready in one turn, however many connections that are: a thousand that
each need a millisecond would make all others wait for a second. So work for unauthenticated clients asks here first: a
few pieces of it fit into a turn, the rest waits for the next ones in the order in which it came. Devices'
sockets are read, flushes sent and leases renewed in between.

A turn that is long without these, because many devices are busy, has room for more of them, up to half of
it: otherwise a returning fleet could not log in next to a busy one. Turns are measured in CPU time of our
process, so that a machine with too little of it does not make them longer still.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable

from service.transport.hub import Hub

#: About how long a piece of work takes: a request, or a few messages.
PIECE_S = 0.001
#: Pieces in one turn, at least and at most.
LEAST, MOST = 2, 32


class Turns:
    """Room for a few pieces of work in each turn of a loop.

    Args:
        least: pieces in one turn, at least.
        now: seconds of CPU time.
    """

    def __init__(
        self, hub: Hub, least: int = LEAST, now: Callable[[], float] = time.thread_time
    ) -> None:
        self._hub = hub
        self._least = least
        self._now = now
        self._begun = 0.0
        self._room = least
        self._done = 0
        self._waiting: deque[Callable[[], object]] = deque()

    def enter_or(self, later: Callable[[], object]) -> bool:
        """Return whether there is room in this turn; if not, `later` is called in the one that has."""
        if self._waiting or self._done >= self._room:
            self._waiting.append(later)
            return False
        if not self._done:
            self._begin()
        self._done += 1
        return True

    def enter(self) -> None:
        """Wait until there is room. For tasks."""
        if not self.enter_or(functools.partial(self._hub.wake, self._hub.current())):
            self._hub.park()

    def _begin(self) -> None:
        self._begun = self._now()
        self._hub.later(0.0, self._next)

    def _next(self) -> None:
        turn_s = self._now() - self._begun
        self._room = min(MOST, max(self._least, int(turn_s / PIECE_S / 2)))
        waiting = self._waiting
        self._done = min(len(waiting), self._room)
        if self._done:
            self._begin()
        for _ in range(self._done):
            waiting.popleft()()
