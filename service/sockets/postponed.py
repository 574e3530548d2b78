"""Registers that were refused for now, and that the node repeats.

A device that was refused because it came too often, because Redis was away or full, stays connected
without a session. Most devices send `register` once, when they connect; so what can succeed later is repeated here,
as long as the socket is open and has not registered itself. A repetition is an event of its socket like any
other: it waits for its turn behind what the socket sent, and runs concurrently with none of it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from service import errors
from service.errors import ServiceError
from service.sockets.call import Peer
from service.tasks import Tasks

#: How often it is looked for what is due, s.
LOOK_EVERY_S = 0.25
#: Without a `retry_after_s`: the first pause, doubled up to the last, s.
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 10.0


class Postponed:
    """One register that is to be repeated; a peer's latest is the one that counts."""

    __slots__ = ("due_s", "pause_s", "payload", "peer")

    def __init__(self, peer: Peer, payload: Any) -> None:
        self.peer = peer
        self.payload = payload
        self.pause_s = FIRST_PAUSE_S
        self.due_s = 0.0


class PostponedRegisters:
    """The postponed registers of a node.

    Args:
        repeat: puts the register behind what its socket sent.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        tasks: Tasks,
        repeat: Callable[[Postponed], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = tasks
        self._repeat = repeat
        self._monotonic = monotonic
        self._waiting: list[Postponed] = []
        self._is_running = False

    def add(self, peer: Peer, payload: Any, error: ServiceError) -> None:
        """Repeat a register after this refusal, if that may help. Never blocks."""
        if not error.retryable or isinstance(error, errors.Draining) or peer.closed:
            peer.postponed = None
            return
        one: Postponed | None = peer.postponed
        if one is None or one.payload is not payload:
            one = peer.postponed = Postponed(peer, payload)
        after_s = error.fields.get("retry_after_s")
        if after_s is None:
            after_s = one.pause_s * random.uniform(0.5, 1.0)
            one.pause_s = min(2 * one.pause_s, LAST_PAUSE_S)
        one.due_s = self._monotonic() + after_s
        self._waiting.append(one)
        if not self._is_running:
            self._is_running = True
            self._tasks.spawn(self._run)

    def _run(self) -> None:
        try:
            while self._waiting:
                self._tasks.sleep(LOOK_EVERY_S)
                self._look()
        finally:  # what is left waits for the next one that is added
            self._is_running = False

    def _look(self) -> None:
        now = self._monotonic()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if one.peer.closed or one.peer.postponed is not one:
                continue
            if one.due_s > now:
                self._waiting.append(one)
            else:
                self._repeat(one)
