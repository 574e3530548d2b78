"""Guarantees 2 and 3 at the store: one owner, late words change nothing, dead nodes are let go.

Every interleaving is forced, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from service import errors
from service.sessions.model import Owner, node_token
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding, index_of, make_store, part
from tests.support.waiting import wait_until

A, B = "host-aaaa", "host-bbbb"


@pytest.fixture
def client(redis_factory: Callable[..., redis.Redis]) -> redis.Redis:
    return redis_factory(decode_responses=True)


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, lease_ms=150, flapping_registers=0)


def test_register_unknown_id_makes_an_active_session(store: RedisSessionStore) -> None:
    """The first register makes the session and owns it."""
    registered = store.ownership.register("d1", node_id=A, sid="aaaa.1", session_name="Kiosk 1")
    assert not registered.resumed
    assert registered.superseded is None
    assert index_of(store, "d1") == ["active"]
    raw = store.index.get("d1")
    assert raw is not None
    assert (raw["node_id"], raw["sid"], raw["is_connected"]) == (A, "aaaa.1", "1")
    assert raw["session_name"] == "Kiosk 1"
    assert store.ownership.owned(0, A) == {"d1"}


def test_register_same_socket_again_keeps_generation_and_supersedes_nobody(
    store: RedisSessionStore,
) -> None:
    """A repeated register (a retry after a lost reply) changes no ownership."""
    first = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    again = store.ownership.register("d1", node_id=A, sid="aaaa.1", session_name="new name")
    assert again.same
    assert again.generation == first.generation
    assert again.superseded is None
    assert again.session_name == "new name"


def test_register_elsewhere_takes_over_and_names_the_old_owner(store: RedisSessionStore) -> None:
    """A takeover answers whom to tell, with a larger generation."""
    first = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    second = store.ownership.register("d1", node_id=B, sid="bbbb.1")
    assert second.superseded == Owner(A, "aaaa.1")
    assert second.generation > first.generation
    assert store.ownership.owned(0, A) == set()
    assert store.ownership.owned(0, B) == {"d1"}
    assert index_of(store, "d1") == ["active"]


def test_disconnect_held_back_until_after_takeover_changes_nothing(
    store: RedisSessionStore,
) -> None:
    """The late disconnect of the old socket leaves the new owner alone."""
    old = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.ownership.register("d1", node_id=B, sid="bbbb.1")
    before = store.index.get("d1")
    assert store.ownership.disconnect(0, A, [("d1", "aaaa.1", old.generation)], "late") == ["stale"]
    assert store.index.get("d1") == before


def test_disconnect_of_the_owner_makes_the_session_inactive(store: RedisSessionStore) -> None:
    """The owner's disconnect is accepted once; the second is stale."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    gone = [("d1", "aaaa.1", own.generation)]
    assert store.ownership.disconnect(0, A, gone, "transport close") == ["ok"]
    assert store.ownership.disconnect(0, A, gone, "transport close") == ["stale"]
    assert index_of(store, "d1") == ["inactive"]
    raw = store.index.get("d1")
    assert raw is not None
    assert raw["disconnect_reason"] == "transport close"
    assert store.ownership.owned(0, A) == set()


def test_write_of_an_older_generation_stores_nothing(store: RedisSessionStore) -> None:
    """Samples of a socket that lost the session are refused, the rest of the batch is kept."""
    old = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    other = store.ownership.register("d2", node_id=A, sid="aaaa.2")
    store.ownership.register("d1", node_id=B, sid="bbbb.1")
    batch = [part("d1", old.generation, ("k", 1)), part("d2", other.generation, ("k", 2))]
    assert [result.word for result in store.samples.append(0, A, 1, batch)] == ["stale", "ok"]
    assert store.index.details("d1")["data"] == {}  # type: ignore[index]


def test_generation_grows_across_delete_and_an_emptied_redis(
    store: RedisSessionStore, client: redis.Redis, key_prefix: str
) -> None:
    """Nothing makes a generation come back: not delete, not a store that lost everything."""
    first = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.cleanup.delete("d1")
    second = store.ownership.register("d1", node_id=A, sid="aaaa.2")
    for key in list(client.scan_iter(f"{key_prefix}:*")):
        client.delete(key)
    wait_until(lambda: store.now_ms() > second.generation)
    third = store.ownership.register("d1", node_id=A, sid="aaaa.3")
    assert first.generation < second.generation < third.generation


def test_reclaim_after_delete_is_refused(store: RedisSessionStore) -> None:
    """The tombstone keeps a paused node from bringing a deleted session back."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.cleanup.delete("d1")
    assert store.ownership.reclaim(0, A, [holding(own, "aaaa.1")]) == [("deleted", None)]
    assert store.index.get("d1") is None


def test_reclaim_after_takeover_is_refused(store: RedisSessionStore) -> None:
    """A node that wakes after a takeover learns that it lost the session."""
    old = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.ownership.register("d1", node_id=B, sid="bbbb.1")
    before = store.index.get("d1")
    assert store.ownership.reclaim(0, A, [holding(old, "aaaa.1")]) == [("superseded", None)]
    assert store.index.get("d1") == before


def test_reclaim_after_takeover_and_disconnect_is_refused(store: RedisSessionStore) -> None:
    """The newer owner has gone since, and still the older socket does not get it back."""
    old = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    new = store.ownership.register("d1", node_id=B, sid="bbbb.1")
    store.ownership.disconnect(0, B, [("d1", "bbbb.1", new.generation)], "gone")
    assert store.ownership.reclaim(0, A, [holding(old, "aaaa.1")])[0][0] == "superseded"
    assert index_of(store, "d1") == ["inactive"]


@pytest.mark.parametrize("first", ["old", "new"])
def test_reclaim_in_an_emptied_redis_ends_with_the_newer_socket(
    store: RedisSessionStore, client: redis.Redis, key_prefix: str, first: str
) -> None:
    """Old and new socket of one device both still stand when Redis comes back empty."""
    old = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    new = store.ownership.register("d1", node_id=B, sid="bbbb.1")
    for key in list(client.scan_iter(f"{key_prefix}:*")):
        client.delete(key)

    def old_reclaims() -> list[Any]:
        return store.ownership.reclaim(0, A, [holding(old, "aaaa.1")])

    def new_reclaims() -> list[Any]:
        return store.ownership.reclaim(0, B, [holding(new, "bbbb.1", rev=40)])

    if first == "old":
        assert old_reclaims() == [("ok", None)]
        assert new_reclaims() == [("ok", Owner(A, "aaaa.1"))]
    else:
        assert new_reclaims() == [("ok", None)]
        assert old_reclaims() == [("superseded", None)]
        assert int(store.index.get("d1")["rev"]) > 40  # type: ignore[index]
    raw = store.index.get("d1")
    assert raw is not None
    assert (raw["sid"], raw["generation"]) == ("bbbb.1", str(new.generation))
    assert store.ownership.owned(0, A) == set()
    assert index_of(store, "d1") == ["active"]


def test_register_too_often_is_flapping_and_refused_ones_do_not_count(
    client: redis.Redis, key_prefix: str
) -> None:
    """The eleventh accepted register within the window is refused, and told how long to wait."""
    store = make_store(client, key_prefix, flapping_registers=10, flapping_window_ms=1000)
    for i in range(10):
        store.ownership.register("d1", node_id=A, sid=f"aaaa.{i}")
    owner = store.index.get("d1")["sid"]  # type: ignore[index]
    counted = client.lrange(store.keys.registers("d1"), 0, -1)
    with pytest.raises(errors.Flapping) as refused:
        store.ownership.register("d1", node_id=B, sid="bbbb.1")
    assert client.lrange(store.keys.registers("d1"), 0, -1) == counted
    assert 0 < refused.value.fields["retry_after_s"] <= 1
    assert store.index.get("d1")["sid"] == owner  # type: ignore[index]

    def accepted() -> bool:
        try:
            return bool(store.ownership.register("d1", node_id=B, sid="bbbb.1"))
        except errors.Flapping:
            return False

    wait_until(accepted)


def test_register_concurrently_ends_with_exactly_one_owner(redis_url: str, key_prefix: str) -> None:
    """200 sockets on two nodes register one id at once: one owns, 199 are each told once."""
    results = []
    barrier = threading.Barrier(20)

    def devices(worker: int) -> None:
        with redis.Redis.from_url(redis_url, decode_responses=True) as own:
            mine = make_store(own, key_prefix, flapping_registers=0)
            barrier.wait(60)
            for i in range(10):
                node_id = (A, B)[i % 2]
                sid = f"{node_token(node_id)}.{worker}-{i}"
                results.append((sid, mine.ownership.register("one", node_id=node_id, sid=sid)))

    threads = [threading.Thread(target=devices, args=(worker,)) for worker in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 200
    generations = [registered.generation for _, registered in results]
    assert len(set(generations)) == 200
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        store = make_store(client, key_prefix)
        raw = store.index.get("one")
        assert raw is not None
        winner = max(results, key=lambda result: result[1].generation)
        assert (raw["sid"], int(raw["generation"])) == (winner[0], winner[1].generation)
        told = [r.superseded.sid for _, r in results if r.superseded is not None]
        assert sorted(told) == sorted(sid for sid, _ in results if sid != winner[0])
        assert store.ownership.owned(0, A) | store.ownership.owned(0, B) == {"one"}
        assert not (store.ownership.owned(0, A) and store.ownership.owned(0, B))


def test_at_maxmemory_only_what_frees_still_runs(own_server: Any, key_prefix: str) -> None:
    """Full Redis: writes answer `overloaded`; renew, disconnect, expire and delete go on."""
    with redis.Redis.from_url(own_server.url, decode_responses=True) as client:
        store = make_store(client, key_prefix)
        store.ownership.renew(A)
        own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
        store.ownership.register("d2", node_id=A, sid="aaaa.2")
        client.config_set("maxmemory", 1)
        with pytest.raises(errors.Overloaded):
            store.ownership.register("d3", node_id=A, sid="aaaa.3")
        with pytest.raises(errors.Overloaded):
            store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))])
        assert store.ownership.renew(A)[0].held
        assert store.ownership.expire(0).word == "grace"
        assert store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "x") == ["ok"]
        assert store.cleanup.delete("d2") is not None
        client.config_set("maxmemory", 0)
        assert store.ownership.register("d3", node_id=A, sid="aaaa.3").generation
