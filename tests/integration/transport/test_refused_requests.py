"""Requests that the reference server of Engine.IO refuses, or answers in one way: here too, on all transports."""

from __future__ import annotations

import pytest

from tests.support.clients.http_wire import HttpWire
from tests.support.clients.raw_clients import RawPolling
from tests.support.nodes.socket_nodes import Node
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", "EIO=4"),
        ("GET", "EIO=4&transport=abc"),
        ("GET", "EIO=4&transport="),
        ("GET", "transport=polling"),
        ("GET", "EIO=abc&transport=polling"),
        ("GET", "EIO=4&transport=websocket&transport=polling"),
        ("POST", "EIO=4&transport=polling"),
        ("PUT", "EIO=4&transport=polling"),
        ("HEAD", "EIO=4&transport=polling"),
        ("POST", "EIO=4&transport=polling&sid=nobody"),
        ("GET", "EIO=4&sid=nobody"),
    ],
)
def test_request_that_begins_no_connection_is_refused(node: Node, method: str, query: str) -> None:
    node.wait_for_silence(25)  # those of other tests have ended
    wire = HttpWire(node.port)
    wire.ask(method, f"/socket.io/?{query}")
    assert wire.answer().status == 400
    wire.close()
    assert node.figures()["engine_sockets"] == 0


def test_post_to_a_session_that_has_ended_is_400(node: Node) -> None:
    """A client begins anew after it; after a 500 some do not. This one never said CONNECT."""
    polling = RawPolling(node.port, connect=False)
    status = wait_until(
        lambda: (code := polling.request("POST", b"3")[0]) != 200 and code, what="it has ended"
    )
    assert status == 400
