"""Leases, and what only their node's renewals may do to them; claims on what is archived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from service.sessions.model import Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding

B = "host-bbbb"

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
