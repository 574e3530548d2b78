"""Where a fleet of the Python client connects: the addresses it was given, and nodes that the service names."""

from __future__ import annotations

from typing import Any

import pytest
from muster_client import AsyncFleet
from muster_client.addresses import Addresses

from tests.support.nodes.said_service import Service, drive, until

NOBODY: dict[str, Any] = {"active": [], "inactive": [], "counts": {}, "ok": True}
A, B, C = "http://a", "http://b", "http://c"


def test_named_nodes_follow_the_given_ones_and_leave_when_they_are_named_no_more() -> None:
    addresses = Addresses([A, B])
    addresses.learn([C, f"{B}/", C, 7, None, "not a url", "ftp://d", "http://"])
    assert addresses.urls == [A, B, C]
    addresses.next()
    addresses.learn([C])
    assert addresses.urls == [B, C, A]
    addresses.next()
    addresses.learn([])  # of the node that we are connected to: it stays until it is left
    assert addresses.urls == [C, A, B]
    addresses.next()
    addresses.learn([])
    assert addresses.urls == [A, B]


@pytest.mark.parametrize("nodes", [None, {}, "http://b", 5])
def test_answer_without_nodes_changes_nothing(nodes: Any) -> None:
    addresses = Addresses(A)
    addresses.learn([B])
    addresses.learn(nodes)
    assert addresses.urls == [A, B]


@pytest.mark.parametrize("given", ["https://a", "wss://a"])
def test_token_that_went_over_tls_goes_nowhere_without(given: str) -> None:
    addresses = Addresses(given)
    addresses.learn([B, "ws://b", "https://c"])
    assert addresses.urls == [given, "https://c"]


@pytest.mark.parametrize("given", [[], "a:5000", ["http://a", "ftp://b"]])
def test_what_is_no_address_is_said_at_once(given: Any) -> None:
    with pytest.raises(ValueError, match="address"):
        AsyncFleet(given)


def test_lost_connection_is_continued_with_the_cursor_on_a_node_that_was_named() -> None:
    async def test(first: Service) -> None:
        async with Service() as second:
            first.on["register_vue"] = lambda _: {
                **NOBODY,
                "recovered": False,
                "cursor": "c1",
                "nodes": [second.url],
            }
            second.on["register_vue"] = lambda _: {**NOBODY, "recovered": True, "cursor": "c1"}
            async with AsyncFleet(first.url) as fleet:
                await fleet.wait_live(10)
                await first.sockets[0].close()
                await until(lambda: second.events and fleet.state == "live")
            assert second.events[0][1]["cursor"] == "c1"

    drive(test)
