"""Wiring of workers: opens what a worker and its jobs need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rq import Queue

from service.config.loader import Config, queue_name
from service.connect import keys_of, make_store
from service.manager.manager import SessionManager
from service.redis_access.clients import queue_factory, redis_factory
from service.redis_access.job_queue import JobQueue
from service.sessions.store.store import RedisSessionStore
from workers.queue import connect
from workers.turns import Turns


@contextmanager
def open_manager(config: Config) -> Iterator[SessionManager]:
    """Open a SessionManager on the configured Redis, whatever became of its archive.

    Most of what a job does takes no archive: alarms above all, which tell of one that is away, and the TTLs
    of what cannot go there. A call that takes it raises `ArchiveUnavailable`.

    Raises:
        ConfigError: the data there has another layout.
        StoreUnavailable: Redis does not answer.
    """
    manager = SessionManager.connect(config.redis.url, config, lenient=True)
    try:
        yield manager
    finally:
        manager.close()


@contextmanager
def open_store(config: Config) -> Iterator[RedisSessionStore]:
    """Open the store alone; raises as `open_manager`."""
    with open_manager(config) as manager:
        yield manager.store


@contextmanager
def open_upkeep(config: Config) -> Iterator[RedisSessionStore]:
    """Return the store for figures of the slow work, without a look at data or archive."""
    with redis_factory(config.redis.url)() as client:
        yield make_store(config, client)


@contextmanager
def open_turns(config: Config) -> Iterator[Turns]:
    """Return the turns of sweeps, over a connection that waits for no hanging server."""
    with queue_factory(config.redis.queue_url, config.redis.url)() as client:
        name = queue_name(config.redis.key_prefix)
        yield Turns(client, keys_of(config), Queue.redis_queue_namespace_prefix + name, name)


@contextmanager
def open_jobs(config: Config) -> Iterator[JobQueue]:
    """Open the queue of jobs as nodes use it."""
    with connect(config) as client:
        yield JobQueue(client, queue_name(config.redis.key_prefix))
