"""One worker: RQ's loop in the main thread, `watch` in another, until SIGTERM."""

from __future__ import annotations

import gc
import logging
import os
import platform
import secrets
import threading
import time

import redis
from redis.exceptions import RedisError
from rq.exceptions import StopRequested
from rq.worker import WorkerStatus

from service.config.fingerprint import fingerprint
from service.config.loader import Config, redact_url
from service.connect import keys_of
from service.manager.manager import SessionManager
from service.observability import logs
from service.redis_access.patience import await_redis
from service.redis_access.replies import translated
from workers import ending
from workers import jobs as _jobs  # noqa: F401  the processes RQ forks have it already
from workers import queue as queues
from workers.beat import Beat
from workers.ending import Ending
from workers.rescue import Rescue
from workers.schedule import Schedule
from workers.signs import Signs
from workers.turns import Sweep
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
    name = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(3)}"
    logs.bind(worker=name)
    client = queues.connect(config)
    _await_redis(config, client)
    queue = queues.open_queue(client, config.redis.key_prefix)
    schedule = Schedule(client, queue, keys_of(config), sweeps_of(config.workers.sweep_every_s))
    watch = Watch(
        lambda: SessionManager.connect(config.redis.url, config),
        schedule,
        MemoryWatch(config.memory, schedule),
        Rescue(queue),
        Beat(name, fingerprint(config)),
    )
    signs = Signs(lambda: SessionManager.connect(config.redis.url, config))
    probe = queues.connect(config, socket_timeout=ending.PATIENCE_S / 3)
    shift = Shift(queue, name, probe)
    shift.ending.catch_signals()
    shift.ending.start()
    watch.loop.start()
    signs.loop.start()
    gc.collect()
    gc.freeze()  # RQ forks a process per job, which copies every page that its garbage collector looks at
    log.info(
        "the worker is ready",
        extra={"action": "worker_started", "worker": name, "redis": redact_url(config.redis.url)},
    )
    try:
        shift.run()
    finally:
        signs.loop.stop(1)
        watch.loop.stop(5)
        client.close()
        probe.close()
        log.info("the worker has ended", extra={"action": "worker_stopped", "worker": name})


class Shift:
    """RQ's loop, begun again whenever it gives up because of Redis, until it is asked to end.

    Args:
        name: of this worker.
        probe: asked whether Redis is there.
    """

    def __init__(self, queue: queues.JobsQueue, name: str, probe: redis.Redis) -> None:
        self._queue = queue
        self._name = name
        self._worker: queues.JobsWorker | None = None
        self.ending = Ending(lambda: bool(probe.ping()), self._is_busy, self._horse)

    def _is_busy(self) -> bool:
        return self._worker is not None and self._worker.get_state() == WorkerStatus.BUSY

    def _horse(self) -> int:
        return self._worker.horse_pid if self._worker is not None else 0

    def run(self) -> None:
        """Work until SIGTERM or SIGINT."""
        try:
            self.ending.may_break = True
            while not self.ending.asked:
                self._work()
                self.ending.catch_signals()  # RQ's handlers belong to the worker that is gone
                if not self.ending.asked:
                    threading.Event().wait(_RETRY_S)  # Redis is away
        except StopRequested:
            pass

    def _work(self) -> None:
        try:
            name = f"{self._name}-{secrets.token_hex(2)}"
            self._worker = queues.open_worker(self._queue, name, self.ending.ask)
            self._worker.work(logging_level="WARNING")
        except (RedisError, OSError) as exc:
            about = {"action": "worker_waits", "error": str(exc)}
            log.warning("the worker's queue failed", extra=about)
        finally:
            self._worker = None


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


def _await_redis(config: Config, queue: redis.Redis) -> None:
    """Wait for Redis and the queue's; refuse to start on data of another layout."""

    def asked() -> None:
        with translated():
            queue.ping()

    url = config.redis.url
    await_redis(
        lambda: SessionManager.connect(url, config).close(),
        "redis.url",
        redact_url(url),
        sleep=time.sleep,
    )
    if config.redis.queue_url:
        shown = redact_url(config.redis.queue_url)
        await_redis(asked, "redis.queue_url", shown, sleep=time.sleep)
