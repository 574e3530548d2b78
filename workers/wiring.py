"""Wiring of workers: opens what a worker and its jobs need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.config.loader import Config, queue_name
from service.manager.manager import SessionManager
from service.redis_access.job_queue import JobQueue
from service.sessions.store.store import RedisSessionStore
from workers.queue import connect


@contextmanager
def open_manager(config: Config) -> Iterator[SessionManager]:
    """Open a SessionManager on the configured Redis.

    Raises:
        ConfigError: the data there has another layout.
        StoreUnavailable: Redis does not answer.
    """
    manager = SessionManager.connect(config.redis.url, config)
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
def open_jobs(config: Config) -> Iterator[JobQueue]:
    """Open the queue of jobs as nodes use it."""
    with connect(config) as client:
        yield JobQueue(client, queue_name(config.redis.key_prefix))
