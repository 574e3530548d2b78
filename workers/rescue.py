"""Rescue of jobs that dead workers left, within a minute, and the state of the queue.

RQ keeps a started job for a minute after its worker's last heartbeat and checks every few minutes; a job
that was taken from the queue and not started yet waits longer still. Here every worker checks every
`EVERY_S`: a job without a heartbeat for `DEAD_S` is retried as its retries say, or has failed for good
and stays visible. A job of a worker that was only slow may run twice in this way, which all jobs tolerate.
"""

from __future__ import annotations

import logging
import time

from redis.exceptions import RedisError
from rq import Queue
from rq.registry import FailedJobRegistry, StartedJobRegistry

from service.errors import passed_over
from service.sessions.store.store import RedisSessionStore
from workers.queue import MONITOR_S, KnownJob

log = logging.getLogger(__name__)

EVERY_S = 5.0
#: A job whose worker has sent no heartbeat for this long is rescued.
DEAD_S = 20.0
#: RQ lets a started job live this much longer than the time to its next heartbeat, s.
_RQ_SPARE_S = 60


class Rescue:
    """Watches over the queue; one per worker."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._started = StartedJobRegistry(queue=queue, job_class=KnownJob)
        self._failed = FailedJobRegistry(queue=queue)
        #: Jobs between the queue and their start → since when this worker sees them there.
        self._between: dict[str, float] = {}
        self._next = 0.0

    def is_due(self) -> bool:
        """Return whether it is time to check."""
        return time.monotonic() >= self._next

    def run(self, store: RedisSessionStore) -> None:
        """Check once."""
        self._next = time.monotonic() + EVERY_S
        self.take_up_started()
        self.take_up_taken()
        # not by the registry's own count, which would clean up by its own times
        failed = int(self._queue.connection.zcard(self._failed.key))
        store.upkeep.count({}, jobs_failed=failed, jobs_queued=len(self._queue))

    def take_up_started(self, dead_s: float = DEAD_S) -> None:
        """Retry, or fail, started jobs whose worker died."""
        self._started.cleanup(timestamp=time.time() + MONITOR_S + _RQ_SPARE_S - dead_s)

    def take_up_taken(self, dead_s: float = DEAD_S) -> int:
        """Put jobs back that were taken from the queue and never started; return how many."""
        between, now = self._queue.intermediate_queue, time.monotonic()
        seen = {job_id: self._between.get(job_id, now) for job_id in between.get_job_ids()}
        self._between = seen
        count = 0
        for job_id, since in seen.items():
            if now - since < dead_s:
                continue
            try:
                count += self._put_back(between.key, job_id)
            except RedisError:
                raise
            except Exception as exc:  # noqa: BLE001  logged; written by something that is none of ours
                passed_over(exc, "rescue", job_id)
        if count:
            log.warning(
                "jobs of a dead worker were put back",
                extra={"action": "job_abandoned", "jobs": count},
            )
        return count

    def _put_back(self, between: str, job_id: str) -> bool:
        # of several workers that see it one removes it
        if not self._queue.connection.lrem(between, 1, job_id):
            return False
        job = self._queue.fetch_job(job_id)
        if job is None or job.is_started:
            return False
        self._queue.push_job_id(job_id, at_front=True)
        return True
