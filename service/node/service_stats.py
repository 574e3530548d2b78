"""Figures of the whole service, as every node shows them: read from Redis at intervals."""

from __future__ import annotations

import logging

from service import errors
from service.observability.health import Check
from service.observability.metrics import Metrics
from service.sessions.store.store import RedisSessionStore
from service.tasks import Tasks

log = logging.getLogger(__name__)

EVERY_S = 5.0


class UpkeepFigures:
    """Keeps a node's metrics about archive, jobs, workers and Redis up to date."""

    def __init__(self, store: RedisSessionStore, metrics: Metrics, tasks: Tasks) -> None:
        self._store = store
        self._metrics = metrics
        self._tasks = tasks
        self._stopped = False
        self._workers: int | None = None

    def run(self) -> None:
        """Read the figures at intervals until `stop`; a long-lived task."""
        while not self._stopped:
            try:
                self.look()
            except errors.ServiceError:
                pass  # the figures stay as they were: other parts report that Redis is away
            except Exception:
                log.exception("figures not read", extra={"action": "figures_failed", "throttle": 1})
            self._tasks.sleep(EVERY_S)

    def look(self) -> None:
        """Look once."""
        seen, metrics = self._store.upkeep.read(), self._metrics
        metrics.archived_sessions.set(self._store.index.counts()["archived"])
        for what in ("archived", "relieved", "purged"):
            metrics.upkeep.values[what] = int(seen.get(what, 0))
        metrics.archive_failures.values[""] = int(seen.get("archive_failures", 0))
        metrics.failed_jobs.set(int(seen.get("jobs_failed", 0)))
        metrics.waiting_jobs.set(int(seen.get("jobs_queued", 0)))
        self._workers = len(self._store.fleet.workers())
        metrics.workers.set(self._workers)
        memory = self._store.upkeep.redis_memory()
        metrics.redis_used.set(memory.used)
        metrics.redis_limit.set(memory.limit)

    def check_workers(self) -> Check:
        """Check that a worker is there; without one a node serves its clients all the same."""
        return Check(bool(self._workers), {"alive": self._workers}, needed=False)

    def stop(self) -> None:
        self._stopped = True
