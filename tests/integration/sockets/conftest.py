"""Two nodes with sockets in memory, over a real store and feed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.nodes import Network, Node
from tests.support.nodes.stores import make_store


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, partitions=2, flapping_registers=0, max_queued=5)


@pytest.fixture
def nodes(store: RedisSessionStore, redis_url: str) -> Iterator[tuple[Node, Node]]:
    network = Network()
    pair = Node(store, redis_url, network), Node(store, redis_url, network)
    yield pair
    network.close()


@pytest.fixture
def node(nodes: tuple[Node, Node]) -> Node:
    return nodes[0]


@pytest.fixture
def other(nodes: tuple[Node, Node]) -> Node:
    return nodes[1]
