"""How the slow work goes, as every node shows it: read from Redis, where workers count it."""

from __future__ import annotations

from typing import Protocol

from service import errors
from service.live.tasks import Tasks
from service.metrics import Metrics

EVERY_S = 5.0


class Store(Protocol):
    """The part of the session store that knows."""

    def upkeep(self) -> dict[str, str]: ...
    def counts(self) -> dict[str, int]: ...


class UpkeepFigures:
    """Keeps a node's metrics about archive and jobs up to date."""

    def __init__(self, store: Store, metrics: Metrics, tasks: Tasks) -> None:
        self._store = store
        self._metrics = metrics
        self._tasks = tasks
        self._stopped = False

    def run(self) -> None:
        """A long-lived task."""
        while not self._stopped:
            try:
                self.look()
            except errors.ServiceError:
                pass  # the figures stay as they were: that Redis is away is said elsewhere
            self._tasks.sleep(EVERY_S)

    def look(self) -> None:
        """Looks once."""
        seen, metrics = self._store.upkeep(), self._metrics
        metrics.archived_sessions.set(self._store.counts()["archived"])
        for what in ("archived", "relieved", "purged"):
            metrics.upkeep.values[what] = int(seen.get(what, 0))
        metrics.archive_failures.values[""] = int(seen.get("archive_failures", 0))
        metrics.failed_jobs.set(int(seen.get("jobs_failed", 0)))
        metrics.waiting_jobs.set(int(seen.get("jobs_queued", 0)))

    def stop(self) -> None:
        self._stopped = True
