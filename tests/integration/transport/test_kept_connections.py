"""HTTP connections that are kept for the next request, and those that end: both hubs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.clients.http_wire import HttpWire
from tests.support.clients.raw_clients import RawPolling
from tests.support.nodes.socket_node import SILENT_S
from tests.support.nodes.socket_nodes import Node
from tests.support.waiting import Stopwatch

pytestmark = pytest.mark.processes

Wire = Callable[[], HttpWire]
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"


@pytest.fixture(scope="module", params=["eventlet", "gevent"])
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    node = Node(request.param, "fast", tmp_path_factory.mktemp("node"))
    yield node
    node.end()


@pytest.fixture
def wire(node: Node) -> Iterator[Wire]:
    made: list[HttpWire] = []

    def make() -> HttpWire:
        made.append(HttpWire(node.port))
        return made[-1]

    yield make
    for one in made:
        one.close()


def post_to(node: Node) -> str:
    return f"/socket.io/?EIO=4&transport=polling&sid={RawPolling(node.port).engine_sid}"


@pytest.mark.parametrize(
    "headers",
    [
        H2C,
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n",
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
        "Connection: keep-alive\r\n",
        "",
    ],
    ids=["Java", "curl --http2", "some proxies", "TLS", "websocket", "old client", "none"],
)
def test_thirty_posts_over_one_connection_are_all_answered(
    node: Node, wire: Wire, headers: str
) -> None:
    """Whatever upgrade is offered with them: one that is not taken changes nothing."""
    path, one = post_to(node), wire()
    for _ in range(30):
        one.ask("POST", path, b"3", headers)
        answer = one.answer()
        assert (answer.status, answer.body) == (200, b"ok")
        assert answer.headers.get("connection", "keep-alive") == "keep-alive"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/figures", "/nowhere"])
def test_any_request_with_the_offer_of_http_2_leaves_the_connection_open(
    node: Node, wire: Wire, method: str, path: str
) -> None:
    one = wire()
    for _ in range(3):
        one.ask(method, path, b"x" * 2000 if method != "GET" else None, H2C)
        assert "connection" not in one.answer().headers


@pytest.mark.parametrize(
    ("request_head", "ends"),
    [
        ("GET /figures HTTP/1.1\r\nHost: a\r\n\r\n", False),
        ("GET /figures HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", True),
        ("GET /figures HTTP/1.0\r\n\r\n", True),
        ("GET /figures HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        ("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n", True),
        ("GET /figures HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", True),
    ],
    ids=["1.1", "1.1 to close", "1.0", "1.0 to keep", "endless body", "no request"],
)
def test_answer_says_whether_its_connection_ends(
    node: Node, wire: Wire, request_head: str, ends: bool
) -> None:
    """A client that is not told sends its next request into the end: a "socket hang up"."""
    one = wire()
    one.send(request_head)
    assert (one.answer().headers.get("connection") == "close") is ends
    if ends:
        assert one.is_at_end()
    else:
        one.ask("GET", "/figures")
        assert one.answer().status == 200


def test_client_that_asks_is_told_how_long_its_connection_is_kept(node: Node, wire: Wire) -> None:
    one = wire()
    one.ask("GET", "/figures", headers="Connection: keep-alive\r\n")
    assert one.answer().headers["keep-alive"] == f"timeout={int(SILENT_S)}"


@pytest.mark.parametrize("headers", ["", H2C], ids=["plain", "offer of HTTP/2"])
def test_silent_connection_ends(node: Node, wire: Wire, headers: str) -> None:
    one = wire()
    one.ask("GET", "/figures", headers=headers)
    assert one.answer().status == 200
    watch = Stopwatch()
    assert one.is_at_end()
    assert watch.elapsed_s > SILENT_S - 0.5
    assert watch.quiet_s < SILENT_S + 2
