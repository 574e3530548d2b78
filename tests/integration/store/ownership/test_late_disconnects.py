"""Disconnects and withdrawals that come late: each is about one socket in one registration."""

from __future__ import annotations

from typing import Any

import pytest

from service.sessions.model import Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import index_of

A, B = "host-aaaa", "host-bbbb"


@pytest.mark.parametrize(
    ("node_id", "sid", "later"),
    [(B, "aaaa.1", 0), (A, "aaaa.9", 0), (A, "aaaa.1", -1), (A, "aaaa.1", 1)],
    ids=["other node", "other socket", "earlier registration", "later registration"],
)
def test_disconnect_of_another_one_changes_nothing(
    store: RedisSessionStore, own: Registration, node_id: str, sid: str, later: int
) -> None:
    before = store.index.summaries(["d1"])
    sockets = [("d1", sid, own.generation + later)]
    assert store.ownership.disconnect(0, node_id, sockets, "late") == ["stale"]
    assert store.index.summaries(["d1"]) == before


def test_second_disconnect_changes_nothing(store: RedisSessionStore, own: Registration) -> None:
    socket = [("d1", "aaaa.1", own.generation)]
    assert store.ownership.disconnect(0, A, socket, "first") == ["ok"]
    before = store.index.summaries(["d1"])
    assert store.ownership.disconnect(0, A, socket, "second") == ["stale"]
    assert store.index.summaries(["d1"]) == before


@pytest.mark.parametrize(("node_id", "sid"), [(B, "aaaa.1"), (A, "aaaa.9")])
def test_withdrawal_of_another_one_ends_no_session(
    store: RedisSessionStore, own: Registration, node_id: str, sid: str
) -> None:
    assert not store.ownership.withdraw("d1", node_id, sid, "lost")
    assert index_of(store, "d1") == ["active"]


def test_withdrawn_socket_is_remembered_for_a_while(
    store: RedisSessionStore, own: Registration, client: Any
) -> None:
    assert store.ownership.withdraw("d1", A, "aaaa.1", "lost")
    [key] = client.scan_iter(f"{store.keys.prefix}:*closed:*")
    assert 10_000 < client.pttl(key) <= 20_000
