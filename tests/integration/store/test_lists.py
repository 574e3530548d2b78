"""Lists of sessions at the store, under churn."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service import errors
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store

A = "host-aaaa"


def listed(store: RedisSessionStore, state: str, limit: int, **filters: Any) -> list[str]:
    ids: list[str] = []
    cursor = None
    while True:
        page = store.index.page(state, limit=limit, cursor=cursor, **filters)
        assert len(page.items) <= limit
        ids += [item["session_id"] for item in page.items]
        cursor = page.next
        if cursor is None:
            return ids


@pytest.mark.parametrize("partitions", [1, 3])
def test_list_pages_show_each_session_once_under_churn(
    client: redis.Redis, key_prefix: str, partitions: int
) -> None:
    """What is there throughout is listed exactly once, while others come and go."""
    store = make_store(client, key_prefix, partitions)
    for i in range(60):
        store.ownership.create(f"stay{i:02}", "", "p")
    for p in range(partitions):  # many with the same score, as after a mass reconnect
        for member in client.zrange(store.keys.active(p), 0, -1):
            client.zadd(store.keys.active(p), {member: 1_000})
    for i in range(20):
        store.ownership.create(f"go{i}")
    seen: list[str] = []
    cursor = None
    turn = 0
    while True:
        page = store.index.page("active", limit=7, cursor=cursor)
        seen += [item["session_id"] for item in page.items]
        cursor = page.next
        if cursor is None:
            break
        store.cleanup.delete(f"go{turn}")
        store.ownership.create(f"new{turn}")
        turn += 1
    assert [i for i in seen if i.startswith("stay")] == [f"stay{i:02}" for i in range(60)]
    assert len(seen) == len(set(seen))
    assert sorted(listed(store, "active", 9, project_id="p")) == [f"stay{i:02}" for i in range(60)]
    assert listed(store, "active", 4, q="STAY1") == [f"stay{i}" for i in range(10, 20)]


def test_list_bad_cursor_is_invalid_request(store: RedisSessionStore) -> None:
    """A cursor that is not ours gets a clear error."""
    for cursor in ("x", "e30=", "ÿ", "WzEsIDJd" * 3):
        with pytest.raises(errors.InvalidRequest):
            store.index.page("active", cursor=cursor)
