"""Opens what a worker and its jobs need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.config import Config
from service.sessions import SessionManager
from service.sessions.store import RedisSessionStore


@contextmanager
def open_manager(config: Config) -> Iterator[SessionManager]:
    """A SessionManager on the configured Redis.

    Raises:
        ConfigError: The data there has another layout.
        StoreUnavailable: Redis does not answer.
    """
    manager = SessionManager.connect(config.redis.url, config)
    try:
        yield manager
    finally:
        manager.close()


@contextmanager
def open_store(config: Config) -> Iterator[RedisSessionStore]:
    """The store alone; raises as `open_manager`."""
    with open_manager(config) as manager:
        yield manager.store
