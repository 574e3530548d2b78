"""What somebody without a token can do to real nodes: bounded memory, time and places, whatever they send."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from tests.conftest import RealServer
from tests.support.clients.bare import Bare
from tests.support.clients.logins import LOGIN, ask, token
from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.crowds.hostile_crowd import UPGRADE, masked
from tests.support.crowds.soak_strangers import figure, peak_mib, run
from tests.support.nodes.node_processes import Cluster, NodeProcess
from tests.support.sizes import sampled
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes

POST = b"POST /api/v1/commands HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module", params=["eventlet", "gevent"])
def cluster(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    real_server: RealServer,
) -> Iterator[Cluster]:
    """One node as it is, and one that has few places for strangers."""
    settings = {
        **LOGIN,
        "node.async_mode": request.param,
        "node.metrics": "public",
        "redis.key_prefix": f"strangers-{request.param}",
    }
    made = Cluster(real_server, tmp_path_factory.mktemp("strangers"), settings)
    try:
        made.start()
        made.start(
            limits__unauthenticated_per_address=2,
            limits__unauthenticated_per_node=6,
            node__trusted_proxies=["127.0.0.1"],
        )
        yield made
        assert made.tracebacks() == []
    finally:
        made.close()


@pytest.fixture
def node(cluster: Cluster) -> NodeProcess:
    return cluster.nodes[0]


@pytest.fixture
def small(cluster: Cluster) -> Iterator[NodeProcess]:
    node = cluster.nodes[1]
    wait_until(lambda: strangers(node) <= 1, 20, what="the places are free")  # the asking one
    yield node


def strangers(node: NodeProcess) -> float:
    return figure(node, "muster_unauthenticated ")


def line_to(node: NodeProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.port), timeout=20)


def all_of(line: socket.socket) -> bytes:
    """What comes until the node closes the connection."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := line.recv(65536):
            got += piece
    return got


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"Content-Length: +2\r\n\r\n{}",
        POST + b"Content-Length: 0_2\r\n\r\n{}",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        POST + b"X: y\rContent-Length: 2\r\n\r\n{}",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n\n",
    ],
)
def test_request_that_can_be_read_in_two_ways_is_answered_400_and_the_connection_closed(
    node: NodeProcess, sent: bytes
) -> None:
    refused = figure(node, 'muster_unauthenticated_refused_total{reason="malformed"}')
    with line_to(node) as line:
        line.sendall(sent)
        assert all_of(line).startswith(b"HTTP/1.1 400 ")
    after = figure(node, 'muster_unauthenticated_refused_total{reason="malformed"}')
    assert after == refused + 1


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"+2\r\n{}\r\n0\r\n\r\n",
        b"0_2\r\n{}\r\n0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"2\r\n{}x0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("authorization", ["admin", ""])
def test_chunks_that_are_none_are_refused_and_the_connection_closed(
    node: NodeProcess, chunks: bytes, authorization: str
) -> None:
    """Whether the body is wanted, by who has a token, or thrown away."""
    head = CHUNKED[:-2] + b"Content-Type: application/json\r\n"
    if authorization:
        head += b"Authorization: Bearer " + token(authorization).encode() + b"\r\n"
    with line_to(node) as line:
        line.sendall(head + b"\r\n" + chunks + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = all_of(line)
    assert got.startswith(b"HTTP/1.1 400 " if authorization else b"HTTP/1.1 401 ")
    assert got.count(b"HTTP/1.1 ") == 1, "what follows is no request"


def test_body_in_good_chunks_is_read_and_the_next_request_answered(node: NodeProcess) -> None:
    body = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in b'{"command": "a"}')
    authorization = b"Authorization: Bearer " + token("admin").encode() + b"\r\n"
    head = CHUNKED[:-2] + authorization + b"Content-Type: application/json\r\n\r\n"
    with line_to(node) as line:
        line.sendall(head + body + b"0\r\nT: u\r\n\r\n")
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got = all_of(line)
    assert b"`session_ids`" in got.partition(b"HTTP/1.1 200")[0], got
    assert got.count(b"HTTP/1.1 ") == 2
    assert b'"ok":true' in got


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X"),
        (b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 99999999\r\n\r\n", b"x"),
        (b"GET / HTTP/1.1\r\nX: ", b"x"),
        (b"GET /", b"x"),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
    ],
)
def test_what_has_no_end_is_neither_read_nor_kept(
    node: NodeProcess, head: bytes, more: bytes
) -> None:
    before = peak_mib(node)
    with line_to(node) as line:
        line.sendall(head)
        with pytest.raises(OSError):
            for _ in range(640):  # 40 MiB
                line.sendall(more * (65536 // len(more)))
    assert peak_mib(node) - before < 5


def test_head_that_comes_in_slowly_ends_at_its_deadline(node: NodeProcess) -> None:
    lines = [line_to(node) for _ in range(50)]
    watch = Stopwatch()
    ended: dict[int, float] = {}
    for line in lines:
        line.sendall(b"GET / HTTP/1.1\r\n")
        line.setblocking(False)

    def have_ended() -> bool:
        for number, line in enumerate(lines):
            if number in ended:
                continue
            try:
                line.send(b"X-More: 1\r\n")
                if not line.recv(1000):
                    ended[number] = watch.elapsed_s
            except BlockingIOError:
                pass
            except OSError:
                ended[number] = watch.elapsed_s
        return len(ended) == len(lines)

    wait_until(have_ended, 14, every_s=0.2, what="all have ended")  # the pace of who sends slowly
    for line in lines:
        line.close()
    assert min(ended.values()) > 8


# --- places


def test_strangers_of_one_address_leave_room_for_others_and_a_login_frees_the_place(
    small: NodeProcess,
) -> None:
    def of(address: str) -> Any:
        header = [f"X-Forwarded-For: {address}"]
        return RawWebsocket(small.port, connect=False, header=header)

    waiting = [of("10.0.0.1"), of("10.0.0.1")]
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        of("10.0.0.1")
    assert refused.value.status_code == 429
    assert b"rate_limited" in refused.value.resp_body
    other = of("10.0.0.2")
    waiting[0].send('40{"token":"' + token("viewer") + '"}')
    assert waiting[0].receive().startswith('40{"sid"')
    third = of("10.0.0.1")
    for client in (*waiting, other, third):
        client.cut()
    assert "limits.unauthenticated_per_address" in small.log.read_text()


def test_node_takes_so_many_strangers_and_those_with_a_token_are_none(small: NodeProcess) -> None:
    devices = [
        Bare.device(small.url, f"place-{number}", auth={"token": token("admin")})
        for number in range(12)
    ]
    polling = [RawPolling(small.port, auth={"token": token("admin")}) for _ in range(12)]
    lines = [line_to(small) for _ in range(6)]
    with line_to(small) as one_too_many:
        assert all_of(one_too_many).startswith(b"HTTP/1.1 503 ")
    for line in lines:
        line.close()
    assert devices[0].ok("ping", {})
    wait_until(lambda: ask(small, "GET", "/healthz")[0] == 200, what="there is room again")
    for device in devices:
        device.close()
    assert all(client.call("get_active_sessions", {})["ok"] for client in polling)
    assert "limits.unauthenticated_per_node" in small.log.read_text()


def test_connection_over_which_a_token_was_shown_takes_no_place(small: NodeProcess) -> None:
    request = b"GET /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
    request += token("viewer").encode() + b"\r\n\r\n"
    lines = []
    for _ in range(10):
        lines.append(line_to(small))
        lines[-1].sendall(request)
        assert lines[-1].recv(65536).startswith(b"HTTP/1.1 200 ")
    for line in lines:
        line.close()


# --- the crowd


def test_crowd_of_strangers_takes_no_device_away_and_little_memory(node: NodeProcess) -> None:
    strangers, devices, seconds = sampled((160, 40, 8), (80, 20, 4))
    summary = run(node, strangers=strangers, devices=devices, seconds=seconds)
    came = summary["crowd"]["came"]
    assert len(came) == 8, "every kind was there"
    assert (summary["lost"], summary["unacked"], summary["reconnects"]) == (0, 0, 0)
    assert summary["ended"] == {}
    assert figure(node, "muster_lease_expiries_total") == 0
    assert summary["grown_mib"] < 50
    assert summary["latency_ms"]["p99"] < 1000, "and everybody is served"


def test_frames_of_strangers_do_not_stop_the_node(node: NodeProcess) -> None:
    """Sixty websockets that send events without a connect, all at once."""
    device = Bare.device(node.url, "beside-frames", auth={"token": token("admin")})
    lines = [line_to(node) for _ in range(60)]
    for line in lines:
        line.sendall(UPGRADE)
        assert b"\r\n\r\n" in line.recv(4096)
    longest = 0.0
    piece = masked(0x81, b"42") * 8000
    for line in lines:
        line.setblocking(False)
        with contextlib.suppress(OSError):
            line.send(piece)
    for _ in range(30):
        begun = time.monotonic()
        device.ok("ping", {})
        longest = max(longest, time.monotonic() - begun)
    for line in lines:
        line.close()
    device.close()
    assert longest < 1.0
