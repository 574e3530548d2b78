"""Leases that end: a dead node's sessions and clients are let go, a living one's never."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from service.sessions.store.devices import Said
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import expire_all, holding, index_of, make_store, through_grace
from tests.support.waiting import wait_until

A, B = "host-aaaa", "host-bbbb"


@pytest.fixture
def client(redis_factory: Callable[..., redis.Redis]) -> redis.Redis:
    return redis_factory(decode_responses=True)


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, lease_ms=150, flapping_registers=0)


def test_expire_dead_node_lets_its_sessions_go_and_a_paused_one_reclaims(
    store: RedisSessionStore,
) -> None:
    """Past its lease a node's sessions are inactive; waking, it gets back what nobody else took."""
    kept = store.ownership.register("kept", node_id=A, sid="aaaa.1")
    taken = store.ownership.register("taken", node_id=A, sid="aaaa.2")
    store.ownership.renew(A)
    through_grace(store)
    wait_until(lambda: expire_all(store) >= 0 and index_of(store, "kept") == ["inactive"], 3)
    raw = store.index.get("kept")
    assert raw is not None
    assert (raw["disconnect_reason"], raw["node_id"], raw["is_connected"]) == (
        "lease_expired",
        "",
        "0",
    )
    store.ownership.register("taken", node_id=B, sid="bbbb.1")
    assert not store.ownership.renew(A)[0].held
    answers = store.ownership.reclaim(0, A, [holding(kept, "aaaa.1"), holding(taken, "aaaa.2")])
    assert [word for word, _ in answers] == ["ok", "superseded"]
    raw = store.index.get("kept")
    assert raw is not None
    assert raw["generation"] == str(kept.generation)
    assert index_of(store, "kept") == ["active"]
    assert index_of(store, "taken") == ["active"]


def test_expire_node_that_renews_keeps_its_sessions(store: RedisSessionStore) -> None:
    """Only the node that stopped renewing loses its sessions."""
    store.ownership.register("alive", node_id=A, sid="aaaa.1")
    store.ownership.register("dead", node_id=B, sid="bbbb.1")
    through_grace(store, A)

    def dead_is_gone() -> bool:
        store.ownership.renew(A)
        store.ownership.expire(0)
        return index_of(store, "dead") == ["inactive"]

    wait_until(dead_is_gone, 3)
    assert index_of(store, "alive") == ["active"]


def test_expire_after_a_pause_of_everybody_waits_a_lease(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """After an outage nobody is expired until every node had a lease's time to renew."""
    store.ownership.register("d1", node_id=A, sid="aaaa.1")
    through_grace(store, A)
    # an outage of an hour: nobody ran `expire`, every lease is long over
    hour_ago = store.now_ms() - 3_600_000
    client.hset(store.keys.epoch(0), "expired_at", hour_ago)
    client.zadd(store.keys.leases(0), {A: hour_ago})
    assert store.ownership.expire(0).word == "grace"
    assert index_of(store, "d1") == ["active"]
    assert not store.ownership.renew(A)[0].held  # so that it reclaims what it holds
    wait_until(
        lambda: store.ownership.renew(A)[0].held and store.ownership.expire(0).word == "ok", 3
    )
    assert index_of(store, "d1") == ["active"]


def test_expire_after_the_clock_jumped_back_still_sees_a_dead_node(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """A deadline left far in the future by a clock jump is brought back to one lease."""
    store.ownership.register("d1", node_id=A, sid="aaaa.1")
    client.zadd(store.keys.leases(0), {A: store.now_ms() + 3_600_000})
    wait_until(lambda: expire_all(store) >= 0 and index_of(store, "d1") == ["inactive"], 3)


def test_expire_drains_more_sessions_than_one_call_takes(store: RedisSessionStore) -> None:
    """A node with many sessions is drained over several calls, each session once."""
    for i in range(1_203):
        store.ownership.register(f"d{i}", node_id=A, sid=f"aaaa.{i}")
    through_grace(store)
    gone = 0

    def drained() -> bool:
        nonlocal gone
        gone += expire_all(store)
        return store.index.counts()["active"] == 0

    wait_until(drained, 20)
    assert store.index.counts() == {"active": 0, "inactive": 1_203, "archived": 0}
    assert store.ownership.owned(0, A) == set()


def test_every_device_that_is_overdue_is_seen_in_one_call(store: RedisSessionStore) -> None:
    names = ["s1", "s2", "s3"]
    for name in names:
        store.devices.report(name, Said(expect_every_ms=1), create=True)
    through_grace(store)
    wait_until(lambda: store.ownership.expire(0).word == "ok", 3)
    assert [index_of(store, name) for name in names] == [["inactive"]] * 3


def test_expire_drops_clients_of_a_dead_node(store: RedisSessionStore, client: redis.Redis) -> None:
    """`active_clients` counts clients of living nodes only, within the lease bound."""
    own = store.ownership.register("d1", node_id=B, sid="bbbb.1")
    assert store.ownership.join("d1", A, "aaaa.7") == 1
    assert store.ownership.join("d1", B, "bbbb.7") == 2
    assert store.ownership.join("d1", B, "bbbb.7") == 2
    through_grace(store, B)

    def only_b() -> bool:
        store.ownership.renew(B)
        store.ownership.expire(0)
        raw = store.index.get("d1")
        return raw is not None and raw["active_clients"] == "1"

    wait_until(only_b, 3)
    assert store.ownership.clients("d1") == [f"{B}#bbbb.7"]
    shown = client.xrevrange(store.keys.feed(0), count=1)[0][1]
    assert shown["active_clients"] == "1"
    assert store.ownership.leave("d1", B, "bbbb.7") == 0
    assert own.generation == int(store.index.get("d1")["generation"])  # type: ignore[index]
