"""Hostile input: the client is answered and stays, or only its connection ends; nobody else notices."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable

import pytest

from tests.support.clients.frame_bytes import masked
from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.crowds.bystanders import is_open
from tests.support.nodes.socket_nodes import MAX_FRAME_BYTES, Node
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

Connect = Callable[..., RawWebsocket]
INVALID = "invalid_request"


@pytest.mark.parametrize(
    "text",
    [
        "42",
        '42["echo"',
        '42{"a":1}',
        "42[]",
        "42[1]",
        '42["nope"]',
        '42["echo",NaN]',
        '42["echo",Infinity]',
        '42["echo",1e999]',
        '42["echo"]trailing',
        '42["update_data"]',
        '42["update_data",{"key":"a\\u0000","value":1}]',
        '42["update_data",{"key":"a","value":1,"ts":-1}]',
        '42["update_data",[1]]',
        "42" + "[" * 20_000,
        '42["echo",' + "[" * 20_000 + "]" * 20_000 + "]",
        '42["update_data",{"key":"a","value":' + "[" * 200 + "]" * 200 + "}]",
        '42/other,["echo",1]',
        '42/other,5["echo",1]',
        "4" + "[" * 20_000 + "]" * 20_000,
        "4true",
        '4{"a":1}',
        "4",
        "44",
        "47",
        "4x",
        "43[]",
        "430[1]",
        "40",
        "0",
        "2",
        "6",
        "9",
        "x",
        "",
        "\x00",
        '451-["echo",{"_placeholder":true,"num":0}]',
        "45-[]",
        "4599999999999-[]",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_packet_that_is_no_event_is_answered_and_the_client_stays(
    ws: RawWebsocket, bystander: None, text: str
) -> None:
    ws.send(text)
    if text == "6":  # a NOOP of a client has no meaning
        assert is_open(ws)
        return
    if text.startswith("42/other,5"):
        assert ws.answer(5)["error"]["code"] == INVALID
    else:
        assert ws.error()["code"] == INVALID
    assert is_open(ws)


def test_ack_for_nothing_is_ignored(ws: RawWebsocket) -> None:
    for text in ("437[1]", "43123456789012[", '4399{"a":1}', "4371"):
        ws.send(text)
    assert is_open(ws)


def test_binary_event_is_refused_by_its_ack_and_its_attachments_swallowed(
    ws: RawWebsocket,
) -> None:
    ws.send('452-8["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
    ws.send_bytes(b"\x00" * 1000)
    ws.send_bytes(b"")
    assert ws.answer(8)["error"]["code"] == INVALID
    ws.send('421["echo",1]')
    assert ws.receive().startswith("431[")


def test_binary_that_nobody_announced_is_answered(ws: RawWebsocket) -> None:
    ws.send_bytes(b"\x04hello")
    assert ws.error()["code"] == INVALID
    assert is_open(ws)


@pytest.mark.parametrize("text", ['421["echo",1]', "42", "43", "4", "45-", "9", "nonsense", ""])
def test_socket_that_says_anything_before_its_connect_is_told_and_closed(
    node: Node, connect: Connect, text: str
) -> None:
    client = connect(connect=False)
    for _ in range(50):
        client.send_frame(0x81, text.encode())
    told = client.until_end()
    assert [packet[:12] for packet in told] == ['44{"message"']
    client.cut()


def test_polling_client_that_posts_events_before_its_connect_is_told_and_closed(
    node: Node,
) -> None:
    client = RawPolling(node.port, connect=False)
    client.post(*["42"] * 1000)
    assert [packet[:12] for packet in client.get()] == ['44{"message"']
    wait_until(lambda: client.request("POST", b"40")[0] == 400, what="the client is gone")


def test_polling_client_may_not_post_much_before_its_connect(node: Node) -> None:
    client = RawPolling(node.port, connect=False)
    status, _ = client.request("POST", b"40" + b"x" * 20_000)
    assert status == 400
    assert client.request("POST", b"40")[0] == 400, "it is gone"


def test_message_that_does_not_end_is_not_kept_before_the_connect(
    node: Node, connect: Connect
) -> None:
    """A message may have a mebibyte, and so many connections could begin one each."""
    client = connect(connect=False)
    with contextlib.suppress(OSError):
        client.send_frame(0x01, b"x" * 10_000)
        for _ in range(60):
            client.send_frame(0x00, b"x" * 10_000)
    assert client.until_end() == []
    client.cut()


def test_large_event_right_behind_a_connect_is_taken(connect: Connect) -> None:
    client = connect(connect=False)
    client.send("40")
    client.send('421["echo","' + "x" * 100_000 + '"]')
    assert client.receive().startswith('40{"sid"')
    assert client.answer(1)["ok"]
    client.close()


@pytest.mark.parametrize("text", ["40{", "40" + "[" * 20_000, "40[1", "40NaN"])
def test_connect_with_broken_auth_is_refused(node: Node, text: str, connect: Connect) -> None:
    client = connect(connect=False)
    client.send(text)
    assert [packet[:2] for packet in client.until_end()] == ["44"]
    client.cut()


def test_other_namespace_is_refused(ws: RawWebsocket) -> None:
    ws.send("40/admin,")
    assert ws.receive() == '44/admin,{"message":"There is only the namespace `/`."}'
    assert is_open(ws)


def test_disconnected_client_may_connect_again(node: Node, ws: RawWebsocket) -> None:
    first = ws.sid
    ws.send("41")
    assert node.wait_for_end(first) == "client disconnect"
    ws.send("40")
    assert json.loads(ws.receive()[2:])["sid"] != first
    assert is_open(ws)


@pytest.mark.parametrize("fragments", [1, 20])
def test_message_over_the_bound_is_told_and_closed(
    node: Node, bystander: None, fragments: int, connect: Connect
) -> None:
    """In one frame or in many; the client gets to see why before the connection ends."""
    client = connect()
    piece = b"x" * (2 * MAX_FRAME_BYTES // fragments)

    def send() -> None:
        try:
            for n in range(fragments):
                last = n == fragments - 1
                client.send_frame((0x80 if last else 0) | (0 if n else 1), piece)
        except OSError:
            pass  # the node has closed

    sender = threading.Thread(target=send)
    sender.start()
    texts = client.until_end()
    sender.join()
    assert any('"code":"too_large"' in text for text in texts)
    assert node.wait_for_end(client.sid) == "transport error"


@pytest.mark.parametrize(
    ("first_byte", "masked", "payload"),
    [
        (0x81, False, b"2"),  # not masked
        (0xC1, True, b"2"),  # a reserved bit
        (0x83, True, b"2"),  # an opcode that is none
        (0x80, True, b"2"),  # a continuation of nothing
        (0x89, True, b"x" * 126),  # a long ping
        (0x09, True, b"x"),  # a fragmented ping
        (0x81, True, b"\xff\xfe"),  # no UTF-8
    ],
)
def test_frame_against_the_websocket_protocol_ends_only_its_connection(
    node: Node, bystander: None, first_byte: int, masked: bool, payload: bytes, connect: Connect
) -> None:
    client = connect()
    client.send_frame(first_byte, payload, masked=masked)
    client.until_end()
    assert node.wait_for_end(client.sid)


WEBSOCKET = "GET /socket.io/?EIO=4&transport=websocket"
UPGRADE = "\r\nUpgrade: websocket\r\nConnection: Upgrade"


@pytest.mark.parametrize(
    ("request_line", "headers"),
    [
        pytest.param(WEBSOCKET, UPGRADE, id="no version"),
        pytest.param(WEBSOCKET, f"{UPGRADE}\r\nSec-WebSocket-Version: 13", id="no key"),
        pytest.param(WEBSOCKET, f"{UPGRADE}\r\nSec-WebSocket-Key1: 1 2", id="hixie"),
        pytest.param("GET /socket.io/?EIO=3&transport=polling", "", id="engine.io 3"),
        pytest.param("GET /socket.io/?EIO=4&transport=polling&sid=a%0Db", "", id="unknown sid"),
        pytest.param("POST /socket.io/?EIO=4&transport=polling", "", id="post without sid"),
        pytest.param("GET /socket.io/?EIO=4&transport=carrier", "", id="unknown transport"),
    ],
)
def test_handshake_that_is_none_gets_400_and_leaves_nothing(
    node: Node, request_line: str, headers: str
) -> None:
    before = node.figures()["engine_sockets"]
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as raw:
        raw.sendall(f"{request_line} HTTP/1.1\r\nHost: x{headers}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    wait_until(lambda: node.figures()["engine_sockets"] <= before, what="nothing left")


def test_flood_of_bad_packets_by_a_client_that_never_reads_is_bounded(
    node: Node, bystander: None, connect: Connect
) -> None:
    """Its answers pile up until it is a slow client; others are served all the time."""
    client = connect()
    junk = masked(0x81, b'42["nope"]') * 100
    closed = threading.Event()

    def send() -> None:
        try:
            while not closed.is_set():
                client.ws.sock.sendall(junk)
        except OSError:
            pass

    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait_until(lambda: client.sid in dict(node.figures()["ended"]), 40)
    finally:
        closed.set()
        sender.join()
    assert dict(node.figures()["ended"])[client.sid] in ("slow_client", "ping timeout")
