"""Keys of a session: their TTLs, their partition, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from service.sessions.model import Owner
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import keys_of, make_store, part

A, B = "host-aaaa", "host-bbbb"


@pytest.fixture
def client(redis_factory: Callable[..., redis.Redis]) -> redis.Redis:
    return redis_factory(decode_responses=True)


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, lease_ms=150, flapping_registers=0)


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
