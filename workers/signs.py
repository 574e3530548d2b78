"""The heartbeat of a worker in the archive's marker, in a thread of its own.

In the thread of the watch a disk that hangs would delay the watch, which has to notice dead nodes.
"""

from __future__ import annotations

from collections.abc import Callable

from service.archiving.keeper import SIGN_EVERY_S
from service.manager.manager import SessionManager
from workers.loops import Loop


class Signs:
    """The thread of this heartbeat.

    Args:
        connect: makes a manager of its own; called again until it works.
    """

    def __init__(self, connect: Callable[[], SessionManager]) -> None:
        self._connect = connect
        self._manager: SessionManager | None = None
        self.loop = Loop("signs", [self.keep], SIGN_EVERY_S, self._leave)

    def keep(self) -> None:
        """Record a heartbeat."""
        self._manager = self._manager or self._connect()
        if self._manager.keeper is not None:
            self._manager.keeper.keep()

    def _leave(self) -> None:
        if self._manager is not None:
            self._manager.close()
