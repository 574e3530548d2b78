"""Signs of life of a worker in the archive's marker, in a thread of their own.

In the thread of the watch a disk that hangs would delay the watch, which has to notice dead nodes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from service.archiving.keeper import SIGN_EVERY_S
from service.errors import ConfigError, ServiceError
from service.manager.manager import SessionManager

log = logging.getLogger(__name__)


class Signs:
    """The thread that gives them.

    Args:
        connect: makes a manager of its own; called again until it works.
    """

    def __init__(self, connect: Callable[[], SessionManager]) -> None:
        self._connect = connect
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signs", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; one that a disk holds is left behind."""
        self._end.set()
        self._thread.join(1)

    def _run(self) -> None:
        manager: SessionManager | None = None
        while not self._end.is_set():
            try:
                manager = manager or self._connect()
                if manager.keeper is not None:
                    manager.keeper.keep()
            except (ServiceError, ConfigError) as exc:
                log.warning(
                    "no sign of life in the archive",
                    extra={"action": "keep_failed", "error": str(exc), "throttle": 1},
                )
            except Exception:  # the thread has to live on
                extra = {"action": "keep_failed", "throttle": 1}
                log.exception("no sign of life in the archive", extra=extra)
            self._end.wait(SIGN_EVERY_S)
        if manager is not None:
            manager.close()
