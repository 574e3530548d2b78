"""Pages of lists while sessions move, and what a page costs and tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import redis

from service.sessions.store import index
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer
from tests.support.nodes.stores import make_store

A = "host-aaaa"
BOTH = ("active", "inactive")


@pytest.fixture
def ids(store: RedisSessionStore) -> list[str]:
    """Inactive sessions; the first half are of a project."""
    found = [f"s{number}" for number in range(8)]
    for number, session_id in enumerate(found):
        project_id = "p1" if number < 4 else ""
        made = store.ownership.register(
            session_id, node_id=A, sid=f"aaaa.{number}", project_id=project_id
        )
        socket = (session_id, f"aaaa.{number}", made.generation)
        store.ownership.disconnect(store.keys.partition(session_id), A, [socket], "gone")
    return found


def walk(store: RedisSessionStore, states: Sequence[str], **options: Any) -> list[str]:
    return [row["session_id"] for row in store.index.page(states, **options).items]


def connect(store: RedisSessionStore, session_id: str) -> None:
    store.ownership.register(session_id, node_id=A, sid=f"aaaa.{session_id}")


def test_total_is_of_all_states_and_of_whole_lists_only(
    store: RedisSessionStore, ids: list[str]
) -> None:
    connect(store, "s0")
    assert store.index.page(BOTH, limit=1).total == 8
    assert store.index.page("inactive", limit=1).total == 7
    for narrowed in ({"projects": {"p1"}}, {"project_id": "p1"}, {"q": "s"}):
        assert store.index.page(BOTH, limit=1, **narrowed).total is None  # type: ignore[arg-type]


def test_session_that_becomes_active_while_a_client_pages_is_found(
    store: RedisSessionStore, ids: list[str]
) -> None:
    connect(store, "s0")
    page = store.index.page(BOTH, limit=1)
    seen = [row["session_id"] for row in page.items]
    assert seen == ["s0"]
    page = store.index.page(BOTH, limit=1, cursor=page.next)  # by now behind the active ones
    connect(store, "s7")
    for _ in range(30):
        seen += [row["session_id"] for row in page.items]
        if page.next is None:
            break
        page = store.index.page(BOTH, limit=1, cursor=page.next)
    assert page.next is None
    assert {*seen} == {*ids}


def test_session_that_moves_while_a_page_is_read_is_not_shown_in_its_former_list(
    store: RedisSessionStore, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = store.runner.ask

    def later(commands: Sequence[Any]) -> Any:
        if isinstance(commands[0], bytes):  # the summaries, which are encoded already
            connect(store, "s3")
        return ask(commands)

    monkeypatch.setattr(store.runner, "ask", later)
    assert walk(store, ("inactive",), limit=100) == [one for one in ids if one != "s3"]


@pytest.mark.parametrize("partitions", [1, 4])
def test_page_of_one_state_with_its_total_takes_two_round_trips(
    own_server: RealServer, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis.from_url(own_server.url, decode_responses=True) as client:
        store = make_store(client, f"trips-{partitions}", partitions)
        for number in range(9):
            store.ownership.register(f"s{number}", node_id=A, sid=f"aaaa.{number}")
        asked: list[Any] = []
        ask = store.runner.ask
        monkeypatch.setattr(store.runner, "ask", lambda c: asked.append(c) or ask(c))
        page = store.index.page("active", limit=5)
    assert (len(page.items), page.total, len(asked)) == (5, 9, 2)


def test_page_that_finds_little_reads_so_much_and_says_where_it_continues(
    store: RedisSessionStore, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SCANNED", 4)
    page = store.index.page("inactive", limit=2, q="none")
    assert page.items == []
    assert page.next is not None
    page = store.index.page("inactive", limit=2, q="none", cursor=page.next)
    assert page.next is None or store.index.page("inactive", limit=2, cursor=page.next).items == []
