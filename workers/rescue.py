"""Rescue of what dead workers left, within a minute, and of jobs whose pause is over.

RQ has all of it, by the wall clocks of workers, which differ, and ends at the first record it cannot read.
Here every worker looks every `EVERY_S`, and goes by its own monotonic clock: a started job whose beat has not
changed for `DEAD_S` is retried as its retries say, or has failed for good and stays visible. A worker that
was only slow may so do a job twice, which all jobs bear. A pause ends by Redis's clock. What is no job of
ours goes to quarantine, and stops nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from redis.exceptions import WatchError
from rq import worker_registration
from rq.exceptions import AbandonedJobError
from rq.job import Job, JobStatus
from rq.utils import now as utc_now
from rq.utils import utcformat

from service.redis_access.job_queue import RETRIES_S
from service.sessions.store.store import RedisSessionStore
from workers.entries import KnownJob, NoJobOfOurs, read_job, redis_ms
from workers.loops import run_all
from workers.queue import JobsQueue

log = logging.getLogger(__name__)

EVERY_S = 5.0
#: A job whose worker has sent no heartbeat for this long is rescued.
DEAD_S = 20.0
#: Entries of a registry that are looked at in one go.
MAX_ENTRIES = 1_000
#: No pause is longer; a job that is due later was given its time before Redis's clock went back.
LONGEST_PAUSE_S = max(RETRIES_S) + 60

_PUT_BACK = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""
_MOVE_SCHEDULED = """
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[3], 'status', 'queued', 'enqueued_at', ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[1])
return 1
"""


class _Seen:
    """For how long what is there has not changed, by this worker's own clock."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._since: dict[bytes, tuple[object, float]] = {}

    def unchanged(self, signs: Iterable[tuple[bytes, object]], for_s: float) -> list[bytes]:
        """Those of these whose sign has been the same for so long; what is not named is forgotten."""
        now, before = self._monotonic(), self._since
        self._since = {}
        for entry, sign in signs:
            known, since = before.get(entry, (sign, now))
            self._since[entry] = (sign, since if known == sign else now)
        return [entry for entry, (_, since) in self._since.items() if now - since >= for_s]


class Rescue:
    """Watches over the queue; one per worker."""

    def __init__(self, queue: JobsQueue, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._client = queue.connection
        self._started = queue.started_job_registry.key
        self._scheduled = queue.scheduled_job_registry.key
        self._failed = queue.failed_job_registry.key
        self._put_back = self._client.register_script(_PUT_BACK)
        self._move = self._client.register_script(_MOVE_SCHEDULED)
        self._monotonic = monotonic
        self._beats = _Seen(monotonic)
        #: Jobs between the queue and their start.
        self._between = _Seen(monotonic)
        self._next = 0.0

    def is_due(self) -> bool:
        """Return whether it is time to look."""
        return self._monotonic() >= self._next

    def run(self, store: RedisSessionStore) -> None:
        """Look once."""
        self._next = self._monotonic() + EVERY_S
        run_all(
            (self.take_up_started, self.take_up_taken, self.tidy, partial(self.note_queue, store))
        )

    def note_queue(self, store: RedisSessionStore) -> None:
        """Record how long the queue is."""
        store.upkeep.count(
            {},
            jobs_failed=int(self._client.zcard(self._failed)),
            jobs_queued=int(self._client.llen(self._queue.key)),
            jobs_quarantined=len(self._queue.quarantine),
        )

    # -- started --

    def take_up_started(self, dead_s: float = DEAD_S) -> None:
        """Retry, or fail, started jobs whose worker died."""
        beats: Any = self._client.zrange(self._started, 0, MAX_ENTRIES - 1, withscores=True)
        scores = dict(beats)
        dead = self._beats.unchanged(scores.items(), dead_s)
        run_all(partial(self._take_up, entry, scores[entry]) for entry in dead)

    def _take_up(self, entry: bytes, beat: float) -> None:
        """Take up one entry of RQ's registry, `job:execution`."""
        job_id, _, execution = entry.partition(b":")
        try:
            job = read_job(self._client, job_id, self._queue.name)
        except NoJobOfOurs as exc:
            if self._client.zrem(self._started, entry):
                self._queue.quarantine_entry(entry, exc)
            return
        with self._client.pipeline() as pipe:
            pipe.watch(self._started)
            if pipe.zscore(self._started, entry) != beat:
                return  # it beats, or another worker took it up
            pipe.multi()
            pipe.zrem(self._started, entry)
            pipe.unlink(b"rq:execution:" + entry)
            pipe.zrem(f"rq:executions:{job.id}", execution)
            # its worker may have died between the entry here and taking it from there
            pipe.lrem(self._queue.intermediate_queue.key, 0, job.id)
            self._decide(job, pipe)
            try:
                pipe.execute()
            except WatchError:
                return  # another job's heart beat: the next look has it
        about = {"action": "job_abandoned", "job": job.id, "worker": job.worker_name}
        log.warning("the worker of a job died, the job was taken up", extra=about)

    def _decide(self, job: KnownJob, pipe: Any) -> None:
        if job.failure_ttl == 0:  # a sweep: its next turn has another job
            pipe.unlink(job.key)
        elif job.should_retry:
            job.retry(self._queue, pipe)
        else:
            job.set_status(JobStatus.FAILED, pipeline=pipe)
            job._handle_failure(f"{AbandonedJobError.__name__}: its worker died", pipe)

    # -- taken, not started --

    def take_up_taken(self, dead_s: float = DEAD_S) -> int:
        """Put jobs back that were taken from the queue and never started; how many."""
        between = self._queue.intermediate_queue.key
        entries: Any = self._client.lrange(between, 0, MAX_ENTRIES - 1)
        left = self._between.unchanged(((entry, None) for entry in entries), dead_s)
        count = 0

        def put_back(entry: bytes) -> None:
            nonlocal count
            job = self._queue.admit(entry)
            if job is None:
                return
            if job.get_status(refresh=False) == JobStatus.STARTED:
                self._client.lrem(between, 1, entry)  # type: ignore[arg-type]
                return
            # of several workers that see it one moves it
            count += self._put_back(keys=[between, self._queue.key], args=[entry])

        try:
            run_all(partial(put_back, entry) for entry in left)
        finally:
            if count:
                extra = {"action": "job_abandoned", "jobs": count}
                log.warning("jobs of a dead worker were put back", extra=extra)
        return count

    # -- scheduled --

    def move_scheduled(self) -> None:
        """Enqueue jobs whose pause is over."""
        now_s = redis_ms(self._client) / 1000
        find = partial(self._client.zrangebyscore, self._scheduled, start=0, num=MAX_ENTRIES)
        due = [*find("-inf", now_s), *find(now_s + LONGEST_PAUSE_S, "+inf")]
        run_all(partial(self._move_one, entry) for entry in due)

    def _move_one(self, entry: bytes) -> None:
        try:
            job = read_job(self._client, entry, self._queue.name)
        except NoJobOfOurs as exc:
            if self._client.zrem(self._scheduled, entry):
                self._queue.quarantine_entry(entry, exc)
            return
        keys = [self._scheduled, self._queue.key, Job.key_for(job.id)]
        self._move(keys=keys, args=[entry, utcformat(utc_now())])

    # -- ended --

    def tidy(self) -> None:
        """Remove jobs that ended long ago, and RQ's notes of workers that are gone."""
        now_s = redis_ms(self._client) / 1000
        for registry in (self._queue.finished_job_registry.key, self._failed):
            self._client.zremrangebyscore(registry, 0, now_s)
        worker_registration.clean_worker_registry(self._queue)
