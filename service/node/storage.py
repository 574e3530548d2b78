"""Storage, a node's first step: Redis and the archive, open."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from service import errors
from service.archive.threads import native_calls
from service.archiving.archiver import Archiver
from service.archiving.keeper import ArchiveKeeper
from service.connect import make_store, open_archiver
from service.node.ground import Ground
from service.redis_access.clients import redis_factory
from service.redis_access.replies import RAISED
from service.redis_access.trouble import trouble_of
from service.sessions.store.store import RedisSessionStore

log = logging.getLogger(__name__)

#: How long a node that starts waits for a Redis that does not answer yet.
PATIENCE_AT_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Storage:
    """The storage of what must outlive a node."""

    redis_factory: Callable[..., redis.Redis]
    client: redis.Redis
    queue_client: redis.Redis  #: for jobs
    store: RedisSessionStore
    archiver: Archiver
    keeper: ArchiveKeeper

    def close(self) -> None:
        """Close the connections to Redis."""
        self.client.close()
        self.queue_client.close()


def open_storage(ground: Ground, on_wait: Callable[[str], object]) -> Storage:
    """Open Redis and the archive of the settings.

    Args:
        on_wait: called again and again with what is waited for.

    Raises:
        ConfigError: they are not this service's, hold another layout, or Redis refuses us in a way that
            waiting does not fix.
        StoreUnavailable: Redis did not come.
    """
    config = ground.config
    factory = redis_factory(config.redis.url, config.redis.max_connections)
    client = factory()
    store = make_store(config, client, on_call=ground.metrics.redis_calls.observe)
    queue_url = config.redis.queue_url or config.redis.url
    jobs = redis_factory(queue_url, config.redis.max_connections)(decode_responses=False)
    _await_redis(store, ground, on_wait)
    if config.redis.queue_url:
        _check_queue(jobs, ground.queue_shown)
    calls = native_calls(config.node.async_mode)
    archiver, keeper = open_archiver(config, store, calls=calls)
    return Storage(factory, client, jobs, store, archiver, keeper)


def _await_redis(
    store: RedisSessionStore, ground: Ground, on_wait: Callable[[str], object]
) -> None:
    began = time.monotonic()
    while True:
        try:
            store.open()
            return
        except (errors.StoreUnavailable, errors.Overloaded) as exc:
            trouble = trouble_of(exc)
            waited_s = time.monotonic() - began
            if trouble.patience_s is not None and waited_s >= trouble.patience_s:
                raise errors.ConfigError(f"redis.url: {ground.redis_shown}: {trouble}") from exc
            if waited_s > PATIENCE_AT_START_S:
                raise errors.StoreUnavailable(f"Redis at {ground.redis_shown}: {trouble}") from exc
            about = {"action": "start_waits", "redis": ground.redis_shown, "reason": str(trouble)}
            log.warning("waiting for Redis", extra={**about, "throttle": trouble.words})
            on_wait(f"waiting for Redis: {trouble.words}")
            ground.tasks.sleep(1.0)


def _check_queue(jobs: redis.Redis, server: str) -> None:
    """Refuse a queue of jobs that refuses us; its users wait for one that is away."""
    try:
        jobs.ping()
    except RAISED as exc:
        trouble = trouble_of(exc)
        if trouble.patience_s == 0:
            raise errors.ConfigError(f"redis.queue_url: {server}: {trouble}") from exc
        about = {"action": "queue_waits", "redis": server, "reason": str(trouble)}
        log.warning("the queue of jobs does not answer yet", extra=about)
