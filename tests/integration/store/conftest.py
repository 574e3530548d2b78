"""A store on a real server and on fakeredis, which is held to what others may test with; nodes without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import redis

from service.manager.manager import SessionManager
from service.sessions.model import Registration
from service.sessions.store.keys import Keys
from service.sessions.store.runner import StoreSettings
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.lease_nodes import Make, Node
from tests.support.nodes.stores import make_store
from tests.support.sizes import only_whole
from tests.support.told import Told

A = "host-aaaa"


@pytest.fixture(params=["server", *only_whole("fakeredis")])
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


@pytest.fixture
def make_node(redis_client: redis.Redis, key_prefix: str) -> Iterator[Make]:
    keys = Keys(key_prefix, 2)
    RedisSessionStore(redis_client, keys).open()
    nodes: list[Node] = []

    def make(client: redis.Redis | None = None, **options: Any) -> Node:
        bounds = {"lease_ms": 300, "ttl_ms": 60_000, "flapping_registers": 0, **options}
        nodes.append(Node(client or redis_client, keys, StoreSettings(**bounds)))
        return nodes[-1]

    yield make
    for node in nodes:
        node.leases.stop()
