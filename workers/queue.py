"""The queue of jobs: RQ's, with JSON instead of pickle, and only for functions of `workers.jobs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from service.config.loader import Config, queue_name
from service.redis_access.clients import redis_factory

JOBS = "workers.jobs."
#: How often dead workers' jobs are looked for.
MAINTENANCE_S = 30
#: How often a running job sends a heartbeat.
MONITOR_S = 5
#: A sweep that takes longer is ended; its next turn goes on.
TIMEOUT_S = 120
#: A server that says nothing for this long is away: a machine that dies does not close its connections.
SILENT_S = 20
#: RQ's own 420 s mean calls that wait for a job for 405 s. With this it is SILENT_S - 10.
WORKER_TTL_S = SILENT_S + 5


class KnownJob(Job):
    """A job that runs functions of `workers.jobs` only, so that writers to Redis cannot run others."""

    @property
    def func(self) -> Callable[..., Any]:
        """Return the function behind the dotted name.

        Raises:
            ValueError: it is not one of ours.
        """
        name = str(self.func_name)
        if not name.startswith(JOBS) or "." in name.removeprefix(JOBS):
            raise ValueError(f"{name!r} is no job of Muster")
        function: Callable[..., Any] = super().func
        return function


class OurWorker(Worker):
    """RQ's worker, which also remembers that it was asked to end."""

    asked_to_end = False
    max_connection_wait_time = 2.0  # RQ's own minute is a long time without sweeps

    def handle_warm_shutdown_request(self) -> None:
        """Note the request to end; RQ calls this at the first SIGTERM or SIGINT."""
        self.asked_to_end = True


def connect(config: Config) -> redis.Redis:
    """Make a client for RQ, which speaks bytes and waits for jobs in blocking calls.

    The server is `redis.queue_url` where that is set: RQ does not run on a cluster.
    """
    return redis_factory(config.redis.queue_url or config.redis.url, config.redis.max_connections)(
        decode_responses=False, socket_timeout=SILENT_S
    )


def open_queue(client: redis.Redis, key_prefix: str) -> Queue:
    """Open the queue of one service; `redis.key_prefix` keeps services apart."""
    return Queue(
        queue_name(key_prefix),
        connection=client,
        serializer=JSONSerializer,
        job_class=KnownJob,
        default_timeout=TIMEOUT_S,
    )


def open_worker(queue: Queue, name: str) -> OurWorker:
    """Make a worker of that queue; each job runs in a process of its own."""
    return OurWorker(
        [queue],
        name=name,
        connection=queue.connection,
        serializer=JSONSerializer,
        job_class=KnownJob,
        worker_ttl=WORKER_TTL_S,
        maintenance_interval=MAINTENANCE_S,
        job_monitoring_interval=MONITOR_S,
        log_job_description=False,
    )
