"""An archiver over a store, on a real server, whose steps a test can use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archive_owners import Services
from tests.support.archive.archiving import Steps
from tests.support.nodes.stores import make_store


@pytest.fixture
def client(redis_factory: Callable[..., redis.Redis]) -> redis.Redis:
    return redis_factory(decode_responses=True)


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, flapping_registers=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def make_archiver(store: RedisSessionStore, root: Path) -> Callable[[], Archiver]:
    def make() -> Archiver:
        files = FileArchiveStore(root)
        files.open(files.claim())
        return Archiver(store, Archive(files), step=Steps())

    return make


@pytest.fixture
def archiver(make_archiver: Callable[[], Archiver]) -> Archiver:
    return make_archiver()


@pytest.fixture
def services(
    redis_url: str, key_prefix: str, tmp_path: Path, redis_client: redis.Redis
) -> Iterator[Services]:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    made = Services(redis_url, key_prefix, tmp_path / "archive", client)
    yield made
    for one in made.made:
        one.close()
    client.close()
