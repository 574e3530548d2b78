"""The schedule of sweeps: each runs every `workers.sweep_every_s`, once, however many workers there are.

The worker that sets the turn's key first (`SET NX PX`, so Redis counts the time) enqueues the job. The job's
id is fixed and unique: while one waits or runs there is no second. `result_ttl=0` and `failure_ttl=0`
free the id at once, so a failed sweep is tried again at the next turn. RQ's own cron has no leader
and no JSON serializer.

A worker that dies within a sweep leaves it `started`, and RQ would keep the id for minutes. A running job
sends a heartbeat every `queue.MONITOR_S`; when there was none for `ABANDONED_S` the next turn takes the id
over. If the worker was slow and not dead, two run at once, which sweeps are made to tolerate.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import JobStatus

from service.sessions.store.keys import Keys
from workers.queue import JOBS

log = logging.getLogger(__name__)

#: A started job whose worker has sent no heartbeat for this long is abandoned.
ABANDONED_S = 15.0


@dataclass(frozen=True)
class Sweep:
    """A job that runs again and again."""

    #: Name of a function in workers.jobs.
    name: str
    every_s: float


class Schedule:
    """Enqueues what is due; called about once per second by every worker.

    Args:
        client: of the queue's server.
        keys: names of the service's keys.
    """

    def __init__(self, client: redis.Redis, queue: Queue, keys: Keys, sweeps: list[Sweep]) -> None:
        self._client = client
        self._queue = queue
        self._keys = keys
        self._sweeps = sweeps

    def take_turns(self) -> list[str]:
        """Enqueue each sweep whose turn nobody else has taken; return their names."""
        return [
            sweep.name for sweep in self._sweeps if self._is_mine(sweep) and self._enqueue(sweep)
        ]

    def _is_mine(self, sweep: Sweep) -> bool:
        key = self._keys.turn(sweep.name)
        return bool(self._client.set(key, "1", nx=True, px=max(1, int(sweep.every_s * 1000))))

    def enqueue_now(self, name: str) -> bool:
        """Enqueue a sweep without its turn; False while one waits or runs."""
        return self._enqueue(Sweep(name, 0))

    def _enqueue(self, sweep: Sweep) -> bool:
        job_id = f"{self._queue.name}-{sweep.name}"
        options: dict[str, Any] = {"result_ttl": 0, "failure_ttl": 0, "unique": True}
        for _ in range(2):
            try:
                self._queue.enqueue(f"{JOBS}{sweep.name}", job_id=job_id, **options)
            except DuplicateJobError:
                if not self._drop_abandoned(job_id):
                    return False
            else:
                return True
        return False

    def _drop_abandoned(self, job_id: str) -> bool:
        """Forget a job whose worker died; False while it waits or runs."""
        job = self._queue.fetch_job(job_id)
        if job is None:
            return True  # it ended just now
        status = job.get_status()
        if status == JobStatus.QUEUED and self._queue.get_job_position(job_id) is not None:
            return False
        # A job that was taken from the queue but not started yet counts from when it was enqueued.
        beat = job.last_heartbeat if status == JobStatus.STARTED else job.enqueued_at
        now = datetime.now(UTC)
        if beat is None or (now - beat.astimezone(UTC)).total_seconds() < ABANDONED_S:
            return False
        log.warning(
            "the worker of a sweep died, somebody else does it",
            extra={"action": "job_abandoned", "job": job_id, "worker": job.worker_name},
        )
        job.delete()
        return True
