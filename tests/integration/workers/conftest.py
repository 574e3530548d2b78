"""An archiver over a store of one partition and of three, on a real server and a real disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as one:
        yield one


@pytest.fixture(params=[1, 3], ids=["one partition", "three partitions"])
def store(
    client: redis.Redis, key_prefix: str, request: pytest.FixtureRequest
) -> RedisSessionStore:
    return make_store(client, key_prefix, request.param, flapping_registers=0, ttl_ms=60_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def archiver(store: RedisSessionStore, root: Path) -> Archiver:
    files = FileArchiveStore(root)
    files.open(files.claim())
    return Archiver(store, Archive(files))
