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


def open_storage(ground: Ground) -> Storage:
    """Open Redis and the archive of the settings.

    Raises:
        ConfigError: they are not this service's, or hold another layout.
        StoreUnavailable: Redis did not answer in time.
    """
    config = ground.config
    factory = redis_factory(config.redis.url, config.redis.max_connections)
    client = factory()
    store = make_store(config, client, on_call=ground.metrics.redis_calls.observe)
    _await_redis(store, ground)
    queue_url = config.redis.queue_url or config.redis.url
    jobs = redis_factory(queue_url, config.redis.max_connections)(decode_responses=False)
    calls = native_calls(config.node.async_mode)
    archiver, keeper = open_archiver(config, store, calls=calls)
    return Storage(factory, client, jobs, store, archiver, keeper)


def _await_redis(store: RedisSessionStore, ground: Ground) -> None:
    deadline = time.monotonic() + PATIENCE_AT_START_S
    while True:
        try:
            store.open()
            return
        except errors.StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting for Redis", extra={"action": "start_waits"})
            ground.tasks.sleep(1.0)
