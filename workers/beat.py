"""The beat of a worker: reports it as alive, for `muster status`, `muster doctor`, alarms and figures.

RQ has a register of its own, but keeps a killed worker in it for minutes, and for ever when it was the last.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable

from service.sessions.store.store import RedisSessionStore
from service.version import installed_version

EVERY_S = 3.0


class Beat:
    """One per worker.

    Args:
        name: of the worker.
        settings: the fingerprint that all processes share; see service.config.fingerprint.
    """

    def __init__(
        self, name: str, settings: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._figures: dict[str, str | int] = {
            "host": platform.node(),
            "pid": os.getpid(),
            "version": installed_version(),
            "settings": settings,
        }
        self._monotonic = monotonic
        self._next = 0.0

    def run(self, store: RedisSessionStore, failures: int = 0) -> None:
        """Record the heartbeat when it is time to; `failures`: defects that its tasks ran into."""
        if self._monotonic() >= self._next:
            store.fleet.worker_beat(self._name, {**self._figures, "failures": failures})
            self._next = self._monotonic() + EVERY_S

    def end(self, store: RedisSessionStore) -> None:
        """Record that the worker ends."""
        store.fleet.worker_gone(self._name)
