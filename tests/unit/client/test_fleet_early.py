"""A fleet of the Python client before it is live: the nodes that it asks, and changes between its pages."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from muster_client import AsyncFleet
from muster_client import fleet as module
from muster_client.errors import NotConnected
from muster_client.socket import Socket


def one(session_id: str, **more: Any) -> dict[str, Any]:
    return {"session_id": session_id, "state": "active", **more}


class Node:
    """Answers page by page, and sends a change before each answer."""

    def __init__(self, fleet: AsyncFleet) -> None:
        self.fleet = fleet
        self.requests: list[dict[str, Any]] = []
        self.pages = [
            {"active": [one("a"), one("b")], "inactive": [], "next": "p2", "cursor": None},
            {"active": [], "inactive": [one("c")], "cursor": "c1"},
        ]
        self.early = [
            {"changed": [one("a", name="new")], "removed": ["b"], "cursor": "c2"},
            {"changed": [one("d")], "removed": ["c"], "cursor": "c3"},
        ]

    async def call(self, event: str, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        self.fleet._event("sessions_update", self.early.pop(0), None)
        return {**self.pages.pop(0), "recovered": False, "counts": {}}


def test_changes_that_come_while_the_snapshot_is_read_are_applied_to_it_in_order() -> None:
    async def test() -> None:
        fleet = AsyncFleet("http://127.0.0.1:1")
        await fleet._watch(cast("Socket", Node(fleet)))
        assert sorted(fleet.sessions) == ["a", "d"]
        assert fleet.sessions["a"]["name"] == "new"
        assert fleet._cursor == "c3"

    asyncio.run(test())


def test_after_a_resync_the_fleet_asks_for_a_snapshot_and_not_for_what_it_missed() -> None:
    async def test() -> None:
        fleet = AsyncFleet("http://127.0.0.1:1")
        await fleet._watch(cast("Socket", Node(fleet)))
        fleet._event("resync", {"reason": "feed_trimmed"}, None)
        node = Node(fleet)
        await fleet._watch(cast("Socket", node))
        assert [request.get("cursor") for request in node.requests] == [None, None]
        assert sorted(fleet.sessions) == ["a", "d"]

    asyncio.run(test())


def test_fleet_that_is_not_let_in_asks_one_node_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    async def connect(url: str, *_: Any) -> Socket:
        seen.append(url)
        raise NotConnected("nobody is there")

    async def test() -> None:
        monkeypatch.setattr(module.Socket, "connect", connect)
        monkeypatch.setattr(module.Backoff, "next_s", lambda self: 0.0)
        async with AsyncFleet(["http://a", "http://b", "http://c"]):
            async with asyncio.timeout(10):
                while len(seen) < 6:
                    await asyncio.sleep(0)
        assert seen[:6] == ["http://a", "http://b", "http://c"] * 2

    asyncio.run(test())
