"""Clients of a session: who they are, and since when."""

from __future__ import annotations

import pytest
import redis

from service.acting import Actor, acting_for
from service.sessions.store import ownership
from tests.support.nodes.stores import expire_all, make_store, through_grace
from tests.support.waiting import wait_until

A, B = "host-aaaa", "host-bbbb"


def test_clients_have_names_until_they_leave_or_their_node_dies(
    client: redis.Redis, key_prefix: str
) -> None:
    store = make_store(client, key_prefix, lease_ms=30)
    store.ownership.create("d1")
    before = store.now_ms()
    for name, node_id, sid in (("anna", A, "a.1"), ("bob", B, "b.1"), ("", B, "b.2")):
        with acting_for(Actor(name, "operator", "socket")):
            store.ownership.join("d1", node_id, sid)
    found = store.ownership.named_clients("d1")
    assert sorted((one.name, one.node_id, one.sid) for one in found) == [
        *(("", B, "b.2"), ("anna", A, "a.1"), ("bob", B, "b.1"))
    ]
    assert all(before <= one.since_ms <= store.now_ms() for one in found)
    store.ownership.leave("d1", A, "a.1")
    assert client.hlen(store.keys.client_names("d1")) == 2
    through_grace(store)
    wait_until(lambda: [expire_all(store), store.ownership.clients("d1")][1] == [], 3)
    assert client.hlen(store.keys.client_names("d1")) == 0


def test_client_of_a_node_of_an_earlier_version_is_listed_and_one_that_it_removed_is_not(
    client: redis.Redis, key_prefix: str
) -> None:
    store = make_store(client, key_prefix)
    store.ownership.create("d1")
    store.ownership.join("d1", A, "a.1")
    client.sadd(store.keys.clients("d1"), f"{B}#b.1")
    client.srem(store.keys.clients("d1"), f"{A}#a.1")
    [one] = store.ownership.named_clients("d1")
    assert (one.node_id, one.sid, one.name, one.since_ms) == (B, "b.1", "", 0)


def test_clients_that_redis_counts_on_a_node_are_its_own_in_any_number_of_sessions(
    client: redis.Redis, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "CALL_SESSIONS", 2)
    store = make_store(client, key_prefix)
    assert store.ownership.joined(0, A) == set()
    for number in range(5):
        store.ownership.create(f"d{number}")
        store.ownership.join(f"d{number}", A, "a.1")
        store.ownership.join(f"d{number}", B, "b.1")
    store.ownership.join("d4", A, "a.2")
    store.ownership.leave("d0", A, "a.1")
    assert store.ownership.joined(0, A) == {
        *(("d1", "a.1"), ("d2", "a.1"), ("d3", "a.1"), ("d4", "a.1"), ("d4", "a.2"))
    }
