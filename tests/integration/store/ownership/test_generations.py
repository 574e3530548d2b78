"""Generations only grow, whatever the clock says."""

from __future__ import annotations

import redis

from tests.support.nodes.stores import holding, make_store

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
    assert second.generation > ahead
    store.cleanup.delete("d1")
    third = store.ownership.register("d1", node_id="host-aaaa", sid="aaaa.2")
    assert third.generation > second.generation


def test_redis_that_lost_registers_while_its_clock_is_behind_gives_their_generations_to_no_other_socket(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    """A backup was restored, or a replica took over, after the clock went back."""
    store = make_store(redis_client, key_prefix, flapping_registers=0)
    store.ownership.register("d1", node_id="host-aaaa", sid="aaaa.1")
    session = store.keys.session("d1")
    redis_client.hset(session, "generation", store.now_ms() + HOUR_MS)
    kept = redis_client.hgetall(session)

    def registered(node: str, sid: str) -> int:
        redis_client.delete(session)
        redis_client.hset(session, mapping=kept)
        return store.ownership.register("d1", node_id=node, sid=sid).generation

    lost = [registered("host-aaaa", f"aaaa.{number}") for number in range(2, 8)]
    given = [registered("host-bbbb", f"bbbb.{number}") for number in range(2, 8)]
    assert len({*lost, *given}) > len(lost)


def test_of_two_sockets_with_one_generation_the_one_that_redis_has_keeps_the_session(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    store = make_store(redis_client, key_prefix)
    own = store.ownership.register("d1", node_id="host-bbbb", sid="bbbb.1")
    before = redis_client.hgetall(store.keys.session("d1"))
    for node, sid in (("host-aaaa", "aaaa.1"), ("host-bbbb", "bbbb.2")):
        assert store.ownership.reclaim(0, node, [holding(own, sid)]) == [("superseded", None)]
    assert redis_client.hgetall(store.keys.session("d1")) == before
    assert store.ownership.reclaim(0, "host-bbbb", [holding(own, "bbbb.1")]) == [("ok", None)]
