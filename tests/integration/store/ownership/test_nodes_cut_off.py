"""Nodes that were cut off from Redis together, while others still run `expire`: they get a lease more."""

from __future__ import annotations

import pytest
import redis

from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store

A, B = "host-aaaa", "host-bbbb"
LEASE_MS = 6_000


class Bench:
    """Two nodes with one session each; the test says when their leases end."""

    def __init__(self, store: RedisSessionStore) -> None:
        self.store, self.client = store, store.runner.client
        for node, session_id in ((A, "a"), (B, "b")):
            store.ownership.register(session_id, node_id=node, sid=f"{node[5:]}.1")

    def leases_end(self, **ago_ms: int) -> None:
        """When each lease ended; the grace of the start is over."""
        self.store.ownership.expire(0)
        self.client.hset(self.store.keys.epoch(0), "grace_until", 0)
        nodes = {"a": A, "b": B}
        now = self.store.now_ms()
        scores = {nodes[name]: now - ago for name, ago in ago_ms.items()}
        self.client.zadd(self.store.keys.leases(0), scores)

    def expire(self) -> str:
        return self.store.ownership.expire(0).word

    @property
    def active(self) -> list[str]:
        return sorted(self.client.zrange(self.store.keys.active(0), 0, -1))


@pytest.fixture
def bench(redis_client: redis.Redis, key_prefix: str) -> Bench:
    return Bench(make_store(redis_client, key_prefix, lease_ms=LEASE_MS))


def test_leases_that_end_together_are_waited_for(bench: Bench) -> None:
    """The nodes are more likely cut off than dead: nobody is shown as offline for a lease's time."""
    bench.leases_end(a=2_000, b=50)
    assert bench.expire() == "grace"
    assert bench.active == ["a", "b"]


def test_leases_that_will_end_together_are_waited_for_from_the_first_on(bench: Bench) -> None:
    """The last one that was renewed has not ended yet, but is not renewed any more."""
    bench.leases_end(a=10, b=-2_000)
    assert bench.expire() == "grace"
    assert bench.active == ["a", "b"]


def test_node_that_is_back_first_does_not_take_the_others_for_dead(bench: Bench) -> None:
    bench.leases_end(a=1_000, b=50)
    assert bench.expire() == "grace"
    assert not bench.store.ownership.renew(A)[0].held
    assert bench.expire() == "grace"
    assert bench.active == ["a", "b"]


def test_nodes_that_do_not_come_back_are_dead_a_lease_later(bench: Bench) -> None:
    bench.leases_end(a=LEASE_MS + 1_000, b=LEASE_MS + 50)
    assert bench.expire() == "ok"
    assert bench.active == []


def test_node_that_dies_alone_is_seen_at_once(bench: Bench) -> None:
    """The other's lease has been renewed since, so Redis can be reached."""
    bench.leases_end(a=10, b=-4_000)
    assert bench.expire() == "ok"
    assert bench.active == ["b"]


def test_sessions_that_a_node_gave_back_with_its_lease_do_not_wait(bench: Bench) -> None:
    """An orderly end is no cut, also of the only node."""
    bench.leases_end(a=-LEASE_MS, b=LEASE_MS + 50)
    assert bench.expire() == "ok"
    bench.store.ownership.release(A)
    assert bench.expire() == "ok"
    assert bench.active == []
