"""Generations only grow, whatever the clock says."""

from __future__ import annotations

import redis

from tests.support.nodes.stores import make_store

HOUR_MS = 3_600_000


def test_register_after_the_clock_jumped_back_has_a_higher_generation(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    """Than the session has, and than its tombstone says."""
    store = make_store(redis_client, key_prefix, flapping_registers=0)
    store.ownership.register("d1", node_id="host-aaaa", sid="aaaa.1")
    ahead = store.now_ms() + HOUR_MS
    redis_client.hset(store.keys.session("d1"), "generation", ahead)
    second = store.ownership.register("d1", node_id="host-bbbb", sid="bbbb.1")
    assert second.generation == ahead + 1
    store.cleanup.delete("d1")
    third = store.ownership.register("d1", node_id="host-aaaa", sid="aaaa.2")
    assert third.generation == ahead + 2
