"""The queue of jobs: RQ's, with JSON instead of pickle, and only for functions of `workers.jobs`."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Any

import redis
from rq import Queue, Worker
from rq.serializers import JSONSerializer

from service.config.loader import Config, queue_name
from service.endings import hear
from service.redis_access.clients import queue_factory
from service.sessions.store.keys import Keys
from workers.entries import (
    Ended,
    KnownJob,
    NoJobOfOurs,
    Quarantine,
    drop_rest,
    read_job,
    redis_ms,
)

log = logging.getLogger(__name__)

#: How often the heart of a running job beats.
MONITOR_S = 5
#: A sweep that takes longer is ended; its next turn continues.
TIMEOUT_S = 120
#: A server that says nothing for this long is away: a machine that dies does not close its connections.
SILENT_S = 20
#: RQ's own 420 s mean calls that wait for a job for 405 s. With this it is SILENT_S - 10.
WORKER_TTL_S = SILENT_S + 5


class JobsQueue(Queue):
    """RQ's queue, which hands out jobs of ours only."""

    quarantine: Quarantine

    @classmethod
    def dequeue_any(  # type: ignore[override]
        cls, queues: Any, timeout: int | None, connection: redis.Redis, **_options: Any
    ) -> Any:
        """Return the next job and its queue; None when there is none. RQ calls it."""
        (queue,) = queues
        found: Any
        while True:
            found = cls.lmove(connection, queue.key, timeout)
            if found is None:
                return None
            job = queue.admit(found[1])
            if job is not None:
                return job, queue

    def admit(self, entry: bytes) -> KnownJob | None:
        """Return the job behind an entry that was just taken; None: there is none, and it goes to quarantine."""
        try:
            return read_job(self.connection, entry, self.name)
        except NoJobOfOurs as exc:
            # one that is there no more was taken back by who enqueued it, or found by another worker
            if self.connection.lrem(self.intermediate_queue.key, 1, entry):  # type: ignore[arg-type]
                self.quarantine_entry(entry, exc)
            return None

    def quarantine_entry(self, entry: bytes, why: NoJobOfOurs) -> None:
        """Keep an entry that is no job for an operator to look at, unless it is what an ended one left."""
        if isinstance(why, Ended):
            log.info(
                "entry of an ended job removed",
                extra={"action": "job_ended", "job": entry.decode(errors="backslashreplace")},
            )
        else:
            self.quarantine.put(entry, str(why), redis_ms(self.connection))


class JobsWorker(Worker):
    """RQ's worker, without what `rescue` does better, and that says when it was asked to end.

    Args:
        asked: called by the first SIGTERM or SIGINT.
    """

    queue_class = JobsQueue
    max_connection_wait_time = 2.0  # RQ's own minute is a long time without sweeps
    should_run_maintenance_tasks = False

    def __init__(
        self, *args: Any, asked: Callable[[], None] = lambda: None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._asked = asked

    def _install_signal_handlers(self) -> None:
        hear((signal.SIGINT, signal.SIGTERM), self.request_stop)

    def handle_warm_shutdown_request(self) -> None:
        """Ask the worker to end: RQ calls this at the first SIGTERM or SIGINT."""
        self._asked()

    def set_shutdown_requested_date(self) -> None:
        """Not noted: it would ask a Redis that may hang, within a signal handler."""

    def subscribe(self) -> None:
        """Subscribe to nothing: RQ's commands would let any writer to Redis end workers, and need a thread."""

    def execute_job(self, job: Any, queue: Any) -> None:
        """Run one job, and keep nothing of it that it did not want to keep."""
        try:
            super().execute_job(job, queue)
        finally:
            drop_rest(self.connection, job.id)


def connect(config: Config, socket_timeout: float = SILENT_S) -> redis.Redis:
    """Return a client for RQ, which speaks bytes and waits for jobs in blocking calls.

    The server is `redis.queue_url` where that is set: RQ does not run on a cluster.
    """
    urls = config.redis.queue_url, config.redis.url
    return queue_factory(*urls, config.redis.max_connections)(
        decode_responses=False, socket_timeout=socket_timeout
    )


def open_queue(client: redis.Redis, key_prefix: str) -> JobsQueue:
    """Return the queue of one service; `redis.key_prefix` keeps services apart."""
    queue = JobsQueue(
        queue_name(key_prefix),
        connection=client,
        serializer=JSONSerializer,
        job_class=KnownJob,
        default_timeout=TIMEOUT_S,
    )
    queue.quarantine = Quarantine(client, Keys(key_prefix).quarantined_jobs)
    return queue


def open_worker(
    queue: JobsQueue, name: str, asked: Callable[[], None] = lambda: None
) -> JobsWorker:
    """Return a worker of that queue; each job runs in a process of its own."""
    return JobsWorker(
        [queue],
        name=name,
        connection=queue.connection,
        serializer=JSONSerializer,
        job_class=KnownJob,
        worker_ttl=WORKER_TTL_S,
        job_monitoring_interval=MONITOR_S,
        log_job_description=False,
        asked=asked,
    )
