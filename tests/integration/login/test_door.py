"""The door of real nodes, without and with a login: who comes in, what is refused, and what of it is in the log."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import RealServer
from tests.support.clients.hosts import NO_AUTHORITIES
from tests.support.clients.logins import LOGIN
from tests.support.crowds.soak_strangers import figure
from tests.support.nodes.node_processes import Cluster, NodeProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(scope="module", params=["eventlet", "gevent"])
def cluster(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    real_server: RealServer,
) -> Iterator[Cluster]:
    """One node without a login and one with."""
    settings = {
        "node.async_mode": request.param,
        "node.metrics": "public",
        "redis.key_prefix": f"door-{request.param}",
    }
    made = Cluster(real_server, tmp_path_factory.mktemp("door"), settings)
    try:
        made.start()
        made.start(**{name.replace(".", "__"): value for name, value in LOGIN.items()})
        yield made
        assert made.tracebacks() == []
    finally:
        made.close()


@pytest.fixture
def open_node(cluster: Cluster) -> NodeProcess:
    return cluster.nodes[0]


@pytest.fixture
def login_node(cluster: Cluster) -> NodeProcess:
    return cluster.nodes[1]


def ask(
    node: NodeProcess, path: str, version: str = "1.1", **headers: str | None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request of just these headers; None leaves the Host out."""
    given = {"Host": f"127.0.0.1:{node.port}"} | headers
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    request = "\r\n".join([f"GET {path} HTTP/{version}", *lines, "", ""])
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as line:
        line.sendall(request.encode("latin-1"))
        reader = line.makefile("rb")
        status = int(reader.readline().split()[1])
        got = {}
        while (header := reader.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(": ")
            got[name.lower()] = value
        body = b"" if status == 101 else reader.read(int(got["content-length"]))
        if got.get("connection") == "close":
            assert reader.read() == b""
    return status, got, body


def lines_of(node: NodeProcess, **fields: str) -> list[dict[str, Any]]:
    """Lines of the node's log with these fields."""
    lines = (json.loads(line) for line in node.log.read_text().splitlines())
    return [line for line in lines if fields.items() <= line.items()]


def is_logged(node: NodeProcess, **fields: str) -> None:
    wait_until(
        lambda: lines_of(node, action="request_refused", **fields), what=f"{fields} in the log"
    )


# --- framing: the Host


@pytest.mark.parametrize("host", NO_AUTHORITIES[1:])
def test_host_that_can_be_read_in_two_ways_is_answered_400_and_the_connection_closed(
    open_node: NodeProcess, login_node: NodeProcess, host: str
) -> None:
    for node in (open_node, login_node):
        status, headers, _ = ask(node, "/readyz", Host=host.encode().decode("latin-1"))
        assert (status, headers["connection"]) == (400, "close")


def test_second_host_and_none_are_answered_400(open_node: NodeProcess) -> None:
    assert ask(open_node, "/", Host="localhost\r\nHost: localhost")[0] == 400
    assert ask(open_node, "/", Host=None)[0] == 400


# --- what other sites may load


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", 200),
        ("/healthz", 200),
        ("/nowhere", 404),
        ("/api/v1/openapi.json", 200),
        ("/socket.io/?EIO=4&transport=polling", 200),
        ("/socket.io/?EIO=4&transport=polling&sid=unknown", 400),
        ("/socket.io/?EIO=4&transport=polling&j=0", 400),
        ("/socket.io/?EIO=3&transport=polling", 400),
        ("/no request line", 400),
    ],
)
def test_no_answer_can_be_loaded_by_another_site_or_taken_for_a_script(
    open_node: NodeProcess, path: str, expected: int
) -> None:
    assert ask(open_node, path)[0] == expected
    for host in (f"127.0.0.1:{open_node.port}", "evil.example"):
        _, got, body = ask(open_node, path, Host=host)
        assert got["x-content-type-options"] == "nosniff"
        assert got["cross-origin-resource-policy"] == "same-origin"
        assert b"___eio" not in body


# --- probes


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize(
    ("version", "host"),
    [("1.1", "10.0.0.7:5000"), ("1.1", "muster.internal"), ("1.1", ""), ("1.0", None)],
)
def test_balancers_reach_probes_by_whatever_host_they_send(
    open_node: NodeProcess, login_node: NodeProcess, path: str, version: str, host: str | None
) -> None:
    for node in (open_node, login_node):
        assert ask(node, path, version, Host=host)[0] == 200


def test_probe_tells_a_page_that_got_hold_of_the_node_nothing_but_readiness(
    open_node: NodeProcess,
) -> None:
    """By a name that its owner pointed at this machine, or from a page of another origin."""
    everything = json.loads(ask(open_node, "/readyz")[2])
    assert everything["checks"]
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        status, got, body = ask(open_node, "/readyz", **headers)
        assert (status, sorted(json.loads(body))) == (200, ["node_id", "ready"])
        assert "access-control-allow-origin" not in got
        assert got["cross-origin-resource-policy"] == "same-origin"


def test_prometheus_reaches_public_metrics_by_address_where_there_is_a_login(
    open_node: NodeProcess, login_node: NodeProcess
) -> None:
    assert ask(login_node, "/metrics", Host="10.0.0.7:5000")[0] == 200
    assert ask(open_node, "/metrics", Host="10.0.0.7:5000")[0] == 403


# --- origins


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:{port}", "ws://127.0.0.1:{port}"),  # Starscream
        ("localhost:80", "http://localhost"),
        ("localhost", "http://localhost:80"),
        ("127.0.0.1:{port}", None),
    ],
)
def test_client_that_names_the_nodes_own_origin_comes_in(
    open_node: NodeProcess, login_node: NodeProcess, host: str, origin: str | None
) -> None:
    for node in (open_node, login_node):
        headers = HANDSHAKE | {"Host": host.format(port=node.port)}
        if origin is not None:
            headers["Origin"] = origin.format(port=node.port)
        assert ask(node, WEBSOCKET, **headers)[0] == 101


def test_client_that_is_not_on_the_web_comes_in_with_a_login_only(
    open_node: NodeProcess, login_node: NodeProcess
) -> None:
    """`Origin: file://` of Arduino: a page on a disk sends the same."""
    headers = HANDSHAKE | {"Origin": "file://"}
    assert ask(login_node, WEBSOCKET, **headers)[0] == 101
    assert ask(open_node, WEBSOCKET, **headers)[0] == 403
    is_logged(open_node, reason="origin", value="file://", setting="auth.allowed_origins")


# --- what is refused is counted, and in the log


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason", "value"),
    [
        ("/", {"Host": "evil.example"}, 403, "host", "evil.example"),
        ("/", {"Origin": "http://localhost:1"}, 403, "origin", "http://localhost:1"),
        ("/", {"X-Forwarded-For": "10.0.0.1"}, 403, "forwarded", "X-Forwarded-For: 10.0.0.1"),
        ("/socket.io/?EIO=3&transport=polling", {}, 400, "version", "EIO=3&transport=polling"),
        ("/socket.io/?transport=websocket", HANDSHAKE, 400, "version", "transport=websocket"),
        (WEBSOCKET, {}, 400, "websocket", "EIO=4&transport=websocket"),
    ],
)
def test_refusal_at_the_door_is_counted_and_logged_with_its_value(
    open_node: NodeProcess,
    path: str,
    headers: dict[str, str],
    status: int,
    reason: str,
    value: str,
) -> None:
    name = f'muster_unauthenticated_refused_total{{reason="{reason}"}}'
    before = figure(open_node, name)
    assert ask(open_node, path, **headers)[0] == status
    assert figure(open_node, name) == before + 1
    is_logged(open_node, reason=reason, value=value, address="127.0.0.1")


# --- websockets


def test_other_version_of_websocket_is_answered_with_ours(open_node: NodeProcess) -> None:
    headers = HANDSHAKE | {"Sec-WebSocket-Version": "8"}
    status, got, _ = ask(open_node, WEBSOCKET, **headers)
    assert (status, got["sec-websocket-version"]) == (426, "13")


def test_no_websocket_is_opened_over_http_1_0(open_node: NodeProcess) -> None:
    status, _, body = ask(open_node, WEBSOCKET, "1.0", **HANDSHAKE)
    assert status == 400
    assert b"HTTP/1.0" in body
