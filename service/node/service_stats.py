"""Figures of the whole service, as every node shows them: read from Redis at intervals."""

from __future__ import annotations

from service import errors
from service.node.public_urls import PublicUrls
from service.observability.alarms import late_sweeps
from service.observability.health import Check
from service.observability.metrics import Metrics
from service.sessions.store.store import RedisSessionStore
from service.tasks import Tasks, keep_going

EVERY_S = 5.0


class UpkeepFigures:
    """Keeps a node's metrics about archive, jobs, workers and Redis up to date, and where the nodes are."""

    def __init__(
        self, store: RedisSessionStore, metrics: Metrics, tasks: Tasks, urls: PublicUrls
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._tasks = tasks
        self._urls = urls
        self._stopped = False
        self._workers: int | None = None

    def run(self) -> None:
        """Run until `stop`: a long-lived task."""
        keep_going("service_stats", self._turn, self._tasks.sleep, lambda: self._stopped)

    def _turn(self) -> None:
        try:
            self.look()
        except errors.ServiceError:
            pass  # the figures stay as they were: that Redis is away is said elsewhere
        self._tasks.sleep_until_tick(EVERY_S)

    def look(self) -> None:
        """Look once."""
        self._urls.look(self._store.fleet.nodes())
        seen, metrics = self._store.upkeep.read(), self._metrics
        metrics.archived_sessions.set(self._store.index.counts()["archived"])
        for what in ("archived", "relieved", "purged"):
            metrics.upkeep.values[what] = int(seen.get(what, 0))
        metrics.archive_failures.values[""] = int(seen.get("archive_failures", 0))
        metrics.failed_jobs.set(int(seen.get("jobs_failed", 0)))
        metrics.late_sweeps.set(len(late_sweeps(seen, self._store.now_ms())))
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
