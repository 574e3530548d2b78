"""Storage, a node's first step: Redis and the archive, open."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import redis

from service import errors
from service.archive.threads import native_calls
from service.archiving.archiver import Archiver
from service.archiving.keeper import ArchiveKeeper
from service.connect import make_store, open_archiver
from service.node.ground import Ground
from service.redis_access.clients import queue_factory, redis_factory
from service.redis_access.patience import await_redis
from service.redis_access.replies import RAISED
from service.redis_access.trouble import trouble_of
from service.sessions.store.store import RedisSessionStore
from service.tasks import SoleEvent

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
    store = make_store(config, client, event=SoleEvent, on_call=ground.metrics.redis_calls.observe)
    most = config.redis.max_connections
    jobs = queue_factory(config.redis.queue_url, config.redis.url, most)(decode_responses=False)
    await_redis(
        store.open,
        "redis.url",
        ground.redis_shown,
        sleep=ground.tasks.sleep,
        on_wait=on_wait,
        at_most_s=PATIENCE_AT_START_S,
    )
    if config.redis.queue_url:
        _check_queue(jobs, ground.queue_shown)
    calls = native_calls(config.node.async_mode)
    archiver, keeper = open_archiver(config, store, calls=calls)
    return Storage(factory, client, jobs, store, archiver, keeper)


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
