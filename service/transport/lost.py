"""Sockets that have lost their clients: closed by one task, however many are lost at one time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

#: Closed before other tasks get a turn.
TURN_SOCKETS = 32


class LostSockets:
    """The lost sockets of a node that are to be closed.

    Args:
        spawn: runs a task.
        sleep: lets other tasks run.
    """

    def __init__(
        self, spawn: Callable[[Callable[[], None]], object], sleep: Callable[[float], object]
    ) -> None:
        self._spawn = spawn
        self._sleep = sleep
        self._lost: list[tuple[Any, str]] = []

    def add(self, socket: Any, reason: str) -> None:
        """Close it soon. Never blocks."""
        self._lost.append((socket, reason))
        if len(self._lost) == 1:
            self._spawn(self._close_all)

    def _close_all(self) -> None:
        lost, self._lost = self._lost, []
        for number, (socket, reason) in enumerate(lost, 1):
            try:
                socket.close(wait=False, abort=True, reason=reason)
            except Exception:  # the others are to be closed too
                log.exception("a lost socket was not closed", extra={"action": "close_failed"})
            if number % TURN_SOCKETS == 0:
                self._sleep(0)
