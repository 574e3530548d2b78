"""One worker: RQ's loop in the main thread, `watch` beside it, until SIGTERM."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import threading

from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import StopRequested
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from service.config.fingerprint import fingerprint
from service.config.loader import Config, redact_url
from service.connect import keys_of
from service.errors import Overloaded, StoreUnavailable
from service.manager.manager import SessionManager
from service.observability import logs
from workers import jobs as _jobs  # noqa: F401  the processes RQ forks have it already
from workers import queue as queues
from workers.beat import Beat
from workers.rescue import Rescue
from workers.schedule import Schedule, Sweep
from workers.signs import Signs
from workers.watch import MemoryWatch, Watch

log = logging.getLogger(__name__)

_RETRY_S = 1.0
#: Turns of the other sweeps between two of these.
PURGE_EVERY, LITTER_EVERY = 6, 60


def run(config: Config) -> None:
    """Work until SIGTERM or SIGINT, and finish the running job then.

    Raises:
        ConfigError: the data in Redis has another layout.
    """
    _check(config)
    client = queues.connect(config)
    queue = queues.open_queue(client, config.redis.key_prefix)
    name = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(3)}"
    logs.bind(worker=name)
    schedule = Schedule(client, queue, keys_of(config), sweeps_of(config.workers.sweep_every_s))
    scheduler = RQScheduler(
        [queue.name], connection=client, logging_level="WARNING", serializer=JSONSerializer
    )
    watch = Watch(
        lambda: SessionManager.connect(config.redis.url, config),
        schedule,
        scheduler,
        MemoryWatch(config.memory, schedule),
        Rescue(queue),
        Beat(name, fingerprint(config)),
    )
    signs = Signs(lambda: SessionManager.connect(config.redis.url, config))
    watch.start()
    signs.start()
    log.info(
        "the worker is ready",
        extra={"action": "worker_started", "worker": name, "redis": redact_url(config.redis.url)},
    )
    try:
        while not _work(queue, name):
            threading.Event().wait(_RETRY_S)  # Redis is away
    except StopRequested:
        pass  # SIGTERM during that wait: the handler is still RQ's
    finally:
        signs.stop()
        watch.stop()
        client.close()
        log.info("the worker has ended", extra={"action": "worker_stopped", "worker": name})


def sweeps_of(every_s: float) -> list[Sweep]:
    """Return all sweeps, each with how often it runs.

    Args:
        every_s: `workers.sweep_every_s`, for those that are urgent.
    """
    return [
        Sweep("sweep_idle", every_s),
        Sweep("sweep_inactive", every_s),
        Sweep("watch_alarms", every_s),
        Sweep("purge_expired_archives", PURGE_EVERY * every_s),
        Sweep("collect_litter", LITTER_EVERY * every_s),
    ]


def _check(config: Config) -> None:
    """Refuse to start on data of another layout; wait for a Redis that is away."""
    try:
        SessionManager.connect(config.redis.url, config).close()
    except (StoreUnavailable, Overloaded) as exc:
        log.warning(
            "Redis does not answer yet", extra={"action": "worker_waits", "error": exc.message}
        )


def _work(queue: Queue, name: str) -> bool:
    """Run RQ's loop; True when it was asked to end, False when it gave up because of Redis."""
    worker = None
    try:
        worker = queues.open_worker(queue, f"{name}-{secrets.token_hex(2)}")
        worker.work(logging_level="WARNING")
    except (RedisError, OSError) as exc:
        about = {"action": "worker_waits", "error": str(exc)}
        log.warning("the worker's queue failed", extra=about)
    return worker is not None and worker.asked_to_end
