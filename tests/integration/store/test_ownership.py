"""Guarantees 2 and 3 at the store: one owner, late words change nothing, dead nodes are let go.

Every interleaving is forced, on a real server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from service import errors
from service.sessions.model import Owner, node_token
from service.sessions.store.store import RedisSessionStore
from tests.support.stores import expire_all, holding, keys_of, make_store, part
from tests.support.waiting import wait_until

A, B = "host-aaaa", "host-bbbb"


@pytest.fixture
def client(redis_factory: Callable[..., redis.Redis]) -> redis.Redis:
    return redis_factory(decode_responses=True)


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, lease_ms=150, flapping_registers=0)


def index_of(store: RedisSessionStore, session_id: str) -> list[str]:
    """The state indexes a session stands in; must always be exactly one."""
    p = store.keys.partition(session_id)
    client = store.runner.client
    indexes = {"active": store.keys.active(p), "inactive": store.keys.inactive(p)}
    return [state for state, key in indexes.items() if client.zscore(key, session_id) is not None]


def through_grace(store: RedisSessionStore, *alive: str) -> None:
    """The grace that every first `expire` begins with is over; nodes `alive` renew meanwhile."""

    def over() -> bool:
        for node_id in alive:
            store.ownership.renew(node_id)
        return store.ownership.expire(0).word == "ok"

    wait_until(over, 3)


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


def test_expire_drops_clients_of_a_dead_node(store: RedisSessionStore) -> None:
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
    assert store.ownership.leave("d1", B, "bbbb.7") == 0
    assert own.generation == int(store.index.get("d1")["generation"])  # type: ignore[index]


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
    store = make_store(client, key_prefix, flapping_registers=10, flapping_window_ms=3000)
    for i in range(10):
        store.ownership.register("d1", node_id=A, sid=f"aaaa.{i}")
    owner = store.index.get("d1")["sid"]  # type: ignore[index]
    counted = client.lrange(store.keys.registers("d1"), 0, -1)
    with pytest.raises(errors.Flapping) as refused:
        store.ownership.register("d1", node_id=B, sid="bbbb.1")
    assert client.lrange(store.keys.registers("d1"), 0, -1) == counted
    assert 0 < refused.value.fields["retry_after_s"] <= 3
    assert store.index.get("d1")["sid"] == owner  # type: ignore[index]

    def accepted() -> bool:
        try:
            return bool(store.ownership.register("d1", node_id=B, sid="bbbb.1"))
        except errors.Flapping:
            return False

    wait_until(accepted)


def test_delete_leaves_no_key_but_the_tombstone(
    store: RedisSessionStore, client: redis.Redis, key_prefix: str
) -> None:
    """After delete nothing names the session, in no index, except the tombstone."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="p1")
    store.samples.append(0, A, 1, [part("d1", own.generation, ("a", 1), ("b:c", 2))])
    store.setups.put("d1", b"{}")
    store.setups.put("d1", b"[]")
    store.setups.undo("d1")
    store.ownership.join("d1", B, "bbbb.1")
    deleted = store.cleanup.delete("d1")
    assert deleted is not None
    assert deleted.owner == Owner(A, "aaaa.1")
    assert keys_of(client, key_prefix, "d1") == [store.keys.tombstone("d1")]
    for kind in ("active", "inactive", "idle", "project:p1", f"owned:{A}", f"joined:{B}"):
        assert not client.exists(store.keys.tag(0) + kind), kind
    assert store.cleanup.delete("d1") is None


def test_every_key_of_a_session_has_a_ttl(
    store: RedisSessionStore, client: redis.Redis, key_prefix: str
) -> None:
    """No key of a session lives for ever, whatever order things were made in."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.samples.append(0, A, 1, [part("d1", own.generation, ("a", 1))])
    store.ownership.join("d1", A, "aaaa.9")
    store.samples.append(0, A, 2, [part("d1", own.generation, ("b", 1))])
    store.setups.put("d1", b"{}")
    store.setups.put("d1", b"[]")
    store.setups.undo("d1")
    made = store.ownership.create("d2")
    store.samples.append(0, A, 3, [part("d2", None, ("z", 1))])
    assert made
    names = keys_of(client, key_prefix, "d1") + keys_of(client, key_prefix, "d2")
    assert len(names) >= 12
    assert {name for name in names if client.pttl(name) < 0} == set()


def test_writes_without_a_connection_keep_all_keys_of_a_session_alive(
    client: redis.Redis, key_prefix: str
) -> None:
    """A session that only programs write to has no node that renews its TTLs."""
    store = make_store(client, key_prefix, ttl_ms=60_000)
    store.ownership.create("d1")
    store.samples.append(0, A, 1, [part("d1", None, ("old", 1))])
    for name in keys_of(client, key_prefix, "d1"):
        client.pexpire(name, 10_000)
    store.samples.append(0, A, 2, [part("d1", None, ("new", 1))])
    lives = {name: client.pttl(name) for name in keys_of(client, key_prefix, "d1")}
    assert {name for name, left_ms in lives.items() if left_ms < 45_000} == set()


def test_keys_of_all_scripts_stay_within_the_partition(
    client: redis.Redis, key_prefix: str
) -> None:
    """Everything a script writes has the hash tag of the session's partition."""
    store = make_store(client, key_prefix, partitions=4)
    ids = [f"d{i}" for i in range(12)]
    for i, session_id in enumerate(ids):
        own = store.ownership.register(session_id, node_id=A, sid=f"aaaa.{i}", project_id="p")
        p = store.keys.partition(session_id)
        store.samples.append(p, A, i + 1, [part(session_id, own.generation, ("k", 1))])
        store.ownership.join(session_id, A, "aaaa.z")
        store.setups.put(session_id, b"{}")
        store.ownership.disconnect(p, A, [(session_id, f"aaaa.{i}", own.generation)], "x")
    for session_id in ids:
        tag = store.keys.tag(store.keys.partition(session_id))
        names = keys_of(client, key_prefix, session_id)
        assert names
        assert [name for name in names if not name.startswith(tag)] == []
    assert store.index.counts() == {"active": 0, "inactive": 12, "archived": 0}


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
