"""Leases, and what only their node's renewals may do to them; what registers and claims leave behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import redis

from service.sessions.model import Registration
from service.sessions.store.archive_index import bytes_of
from service.sessions.store.devices import Said
from service.sessions.store.index import bytes_held
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding, part

A, B = "host-aaaa", "host-bbbb"

Act = Callable[[RedisSessionStore, Registration], Any]


@pytest.mark.parametrize(
    "act",
    [
        lambda store, own: store.ownership.join("d1", B, "bbbb.1"),
        lambda store, own: store.ownership.register("d2", node_id=B, sid="bbbb.2"),
        lambda store, own: store.ownership.reclaim(0, B, [holding(own, "aaaa.1")]),
    ],
    ids=["join", "register", "reclaim"],
)
def test_lease_that_is_over_stays_over_until_its_node_renews_it(
    store: RedisSessionStore, client: redis.Redis, own: Registration, act: Act
) -> None:
    """The node has to learn that it lost what it held."""
    ended = store.now_ms() - 1_000
    client.zadd(store.keys.leases(0), {B: ended})
    act(store, own)
    assert client.zscore(store.keys.leases(0), B) == ended
    assert not store.ownership.renew(B)[0].held


def test_claim_on_what_is_archived_makes_no_other_session(
    store: RedisSessionStore, client: redis.Redis, own: Registration
) -> None:
    """It was archived between the restore and this call."""
    store.cleanup.delete("d1")
    client.delete(store.keys.tombstone("d1"))
    client.hset(store.keys.archive_names(0), "d1", "abcd/d1~1-1.json.zst")
    for create in (False, True):
        answers = store.ownership.reclaim(0, B, [holding(own, "aaaa.1")], create=create)
        assert answers == [("archived", None)]
    assert store.runner.client.exists(store.keys.session("d1")) == 0


@pytest.mark.parametrize("back", ["register", "reclaim"])
def test_nothing_is_expected_of_a_session_that_is_connected_again(
    store: RedisSessionStore, client: redis.Redis, own: Registration, back: str
) -> None:
    """Neither reports without a socket, nor updates of others."""
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "lost")
    store.devices.report("d1", Said(), create=False)
    client.zadd(store.keys.idle(0), {"d1": store.now_ms()})
    if back == "register":
        store.ownership.register("d1", node_id=A, sid="aaaa.2")
    else:
        assert store.ownership.reclaim(0, A, [holding(own, "aaaa.1")]) == [("ok", None)]
    keys = store.keys
    for one in (keys.deadlines(0), keys.asleep(0), keys.idle(0)):
        assert client.zscore(one, "d1") is None, one


def test_session_whose_meta_a_claim_brings_is_counted_anew(
    store: RedisSessionStore, client: redis.Redis, own: Registration
) -> None:
    """Redis fell back to a state before the register, of the same rev."""
    store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))])
    fields = store.index.get("d1")
    assert fields is not None
    client.hset(store.keys.session("d1"), "generation", own.generation - 1)
    held = dataclasses.replace(holding(own, "aaaa.1", rev=int(fields["rev"])), meta='{"a":"b"}')
    store.ownership.reclaim(0, A, [held])
    store.samples.append(0, A, 2, [part("d1", own.generation, ("k", 2))])
    snapshot = store.index.read("d1", entire=True)
    assert snapshot is not None
    assert bytes_held(store.index.get("d1") or {}) == bytes_of(snapshot)


def test_signs_of_life_count_that_came_from_the_owner(
    store: RedisSessionStore, own: Registration
) -> None:
    def last_ping() -> str:
        return str((store.index.get("d1") or {})["last_ping"])

    store.ownership.touch(0, [("d1", own.generation, 1_000)], refresh=False)
    store.ownership.touch(0, [("d1", own.generation - 1, 2_000)], refresh=False)
    assert last_ping() == "1000"
    store.ownership.touch(0, [("d1", own.generation, 0)], refresh=True)  # only its TTLs
    assert last_ping() == "1000"
