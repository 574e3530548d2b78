"""A store on a real server and on fakeredis, which is held to what others may test their programs with."""

from __future__ import annotations

from collections.abc import Iterator

import fakeredis
import pytest
import redis

from service.manager.manager import SessionManager
from service.sessions.model import Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.stores import make_store
from tests.support.told import Told

A = "host-aaaa"


@pytest.fixture(params=["fakeredis", "server"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    if request.param == "fakeredis":
        server = fakeredis.FakeServer(version=(7, 2))
        made: redis.Redis = fakeredis.FakeRedis(server=server, decode_responses=True)
    else:
        made = redis.Redis.from_url(request.getfixturevalue("redis_url"), decode_responses=True)
    with made:
        yield made


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, history_default=5, history_keys={"long": 8}, max_keys=4)


@pytest.fixture
def manager(store: RedisSessionStore) -> SessionManager:
    return SessionManager(store, Told())


@pytest.fixture
def own(store: RedisSessionStore) -> Registration:
    return store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="p1")
