"""The transport over real sockets, on eventlet and on gevent: order, bounds, hostile input, ends.

One file, long as it is: the last test looks whether anything is left behind of all the others.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import socketio
import websocket

from tests.support.raw_clients import RawPolling, RawWebsocket
from tests.support.socket_nodes import MAX_FRAME_BYTES, Node
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes

INVALID = "invalid_request"
Connect = Callable[..., RawWebsocket]


@pytest.fixture(
    scope="module",
    params=[(mode, road) for mode in ("eventlet", "gevent") for road in ("fast", "ordinary")],
    ids=lambda param: "-".join(param),
)
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    node = Node(*request.param, tmp_path_factory.mktemp("node"))
    assert node.figures()["road"] == request.param[1]
    yield node
    node.end()


class Bystander:
    """A client that talks to the node all the time and must not notice what others do."""

    def __init__(self, port: int) -> None:
        self._client = RawWebsocket(port)
        self._is_over = threading.Event()
        self.slowest_s = 0.0
        self.fault = ""
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        try:
            while not self._is_over.wait(0.05):
                watch = Stopwatch()
                assert self._client.call("echo", 1) == {"ok": True, "echo": 1}
                self.slowest_s = max(self.slowest_s, watch.quiet_s)
        except Exception as error:  # shown by `leave`, in the test's own thread
            self.fault = repr(error)

    def leave(self) -> None:
        self._is_over.set()
        self._thread.join(60)
        self._client.close()
        assert not self.fault
        assert self.slowest_s < 2


@pytest.fixture
def bystander(node: Node) -> Iterator[None]:
    """Another client is served as ever during the test."""
    other = Bystander(node.port)
    yield
    other.leave()


@pytest.fixture
def connect(node: Node) -> Iterator[Connect]:
    """Makes websockets to the node that are cut at the end of the test."""
    made: list[RawWebsocket] = []

    def make(**options: Any) -> RawWebsocket:
        made.append(RawWebsocket(node.port, **options))
        return made[-1]

    yield make
    for client in made:
        client.cut()


@pytest.fixture
def ws(connect: Connect) -> RawWebsocket:
    return connect()


@pytest.fixture
def python_client() -> Iterator[socketio.Client]:
    """python-socketio's own client, which comes back fast when it does."""
    with requests.Session() as session:
        client = socketio.Client(reconnection_delay=0.05, http_session=session)
        yield client
        client.shutdown()
    del client
    gc.collect()


def is_open(client: RawWebsocket) -> bool:
    return client.call("echo", 1) == {"ok": True, "echo": 1}


# --- ordinary traffic


def test_sid_begins_with_the_node_token(ws: RawWebsocket) -> None:
    """So a message for a socket finds its node; also for the Engine.IO sid."""
    token, _, rest = ws.sid.partition(".")
    assert (token, len(rest)) == ("testtoken1", 22)
    assert ws.opened["sid"].startswith("testtoken1.")
    assert ws.call("whoami") == {"ok": True, "sid": ws.sid, "address": "127.0.0.1"}


def test_events_of_a_socket_keep_their_order(node: Node, ws: RawWebsocket) -> None:
    """Inline events wait behind a blocking one; acks come in order."""
    ws.send('421["slow",{"s":0.2}]')
    for number in range(2, 30):
        ws.send(f'42{number}["echo",{number}]')
    first = [ws.receive() for _ in range(29)]
    numbers = [int(text[2 : text.index("[")]) for text in first]
    assert numbers == list(range(1, 30))


def test_blocking_handler_does_not_stop_other_sockets(
    node: Node, ws: RawWebsocket, connect: Connect
) -> None:
    other = connect()
    ws.send('421["slow",{"s":5}]')
    wait_until(lambda: ["slow begins", ws.sid] in node.figures()["seen"])
    assert is_open(other)
    assert ["slow ends", ws.sid] not in node.figures()["seen"]
    other.close()


def test_update_data_runs_without_request_context_and_is_acked_later(
    node: Node, ws: RawWebsocket
) -> None:
    answer = ws.call("update_data", {"key": "inline", "value": 1})
    assert (answer["ok"], answer["count"]) == (True, 1)
    assert ["inline", False] in node.figures()["seen"]


def test_update_data_takes_the_same_way_in_fragments_and_behind_others(
    node: Node, ws: RawWebsocket
) -> None:
    """Wherever it comes from, one function gets it, and in its order."""
    ws.send('421["slow",{"s":0.1}]')
    ws.send('422["update_data",{"key":"behind","value":1}]')
    ws.send_frame(0x01, b'423["update_da')
    ws.send_frame(0x80, b'ta",{"key":"pieces","value":1}]')
    answers = [ws.receive() for _ in range(3)]
    assert [answer[:3] for answer in answers] == ["431", "432", "433"]
    seen = node.figures()["seen"]
    assert seen.index(["behind", False]) < seen.index(["pieces", False])


def test_fragmented_message_is_one_event(ws: RawWebsocket) -> None:
    ws.send_frame(0x01, b'421["ec')
    ws.send_frame(0x89, b"ping inside")
    ws.send_frame(0x00, b'ho",{"a"')
    ws.send_frame(0x80, b":1}]")
    assert ws.answer(1) == {"ok": True, "echo": {"a": 1}}


def test_message_of_almost_the_bound_comes_through_both_ways(ws: RawWebsocket) -> None:
    text = "ü" * ((MAX_FRAME_BYTES - 100) // 2)
    ws.send(f'421["echo","{text}"]')
    assert ws.answer(1)["echo"] == text


def test_compression_is_not_negotiated(node: Node, connect: Connect) -> None:
    """It would cost 256 KiB per connection."""
    header = ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]
    client = connect(header=header)
    assert "sec-websocket-extensions" not in client.ws.getheaders()
    assert is_open(client)
    client.close()


def test_request_hears_of_the_ack_of_its_client(ws: RawWebsocket) -> None:
    ws.send('421["ask"]')
    question = ws.receive()
    number = question[2 : question.index("[")]
    assert question == f'42{number}["question",{{"a":1}}]'
    ws.send(f'43{number}[{{"ok":true}},2]')
    assert ws.answer(1) == {"ok": True, "arguments": [{"ok": True}, 2]}


def test_callback_of_python_socketio_still_works(ws: RawWebsocket) -> None:
    ws.send('421["ask_upstream"]')
    assert ws.receive() == '421["question",{"a":1}]'
    ws.send('431["yes"]')
    assert ws.answer(1) == {"ok": True, "arguments": ["yes"]}


def test_binary_ack_is_an_ack_without_arguments(ws: RawWebsocket) -> None:
    ws.send('421["ask"]')
    question = ws.receive()
    number = question[2 : question.index("[")]
    ws.send(f'461-{number}[{{"_placeholder":true,"num":0}}]')
    ws.send_bytes(b"attachment")
    assert ws.answer(1) == {"ok": True, "arguments": []}
    assert is_open(ws)


def test_room_emit_reaches_members_on_both_transports(node: Node, ws: RawWebsocket) -> None:
    polling = RawPolling(node.port)
    polling.post('421["room","room"]')
    polling.answer(1)
    ws.call("room", "room")
    ws.send('42["to_room",{"n":1}]')
    assert ws.receive() == '42["r",{"n":1}]'
    assert polling.receive() == '42["r",{"n":1}]'
    polling.post("41", "1")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # left by the client itself
def test_python_socketio_client_works_and_reconnects_after_draining(
    node: Node, python_client: socketio.Client
) -> None:
    """`draining` closes the transport only, so the client comes back by itself."""
    client = python_client
    client.connect(f"http://127.0.0.1:{node.port}")
    wait_until(lambda: client.transport() == "websocket", what="upgraded")
    sid = client.get_sid()
    bye: list[Any] = []
    client.on("last", bye.append)
    client.emit("close", {"sid": sid, "reason": "draining"})
    wait_until(lambda: client.connected and client.get_sid() not in (None, sid), 8)
    assert bye == [{"bye": 1}]
    assert node.wait_for_end(str(sid)) == "draining"
    assert client.call("echo", 1, timeout=5) == {"ok": True, "echo": 1}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # left by the client itself
def test_python_socketio_client_stays_away_after_superseded(
    node: Node, python_client: socketio.Client
) -> None:
    """Else two devices with one id would chase each other for ever."""
    client = python_client
    client.connect(f"http://127.0.0.1:{node.port}", transports=["websocket"])
    sid = str(client.get_sid())
    client.emit("close", {"sid": sid, "reason": "superseded"})
    wait_until(lambda: client.eio.state == "disconnected", 8)
    assert node.wait_for_end(sid) == "superseded"
    assert not client._reconnect_task


# --- polling


def test_polling_client_has_the_same_order_and_answers(node: Node) -> None:
    polling = RawPolling(node.port)
    polling.post('421["slow",{"s":0.1}]', *(f'42{n}["echo",{n}]' for n in range(2, 40)))
    acks = [polling.receive() for _ in range(39)]
    assert [int(text[2 : text.index("[")]) for text in acks] == list(range(1, 40))
    polling.post("41", "1")


def test_polling_update_data_takes_the_same_way(node: Node) -> None:
    polling = RawPolling(node.port)
    polling.post('421["update_data",{"key":"polled","value":1}]')
    assert polling.answer(1)["ok"]
    assert ["polled", False] in node.figures()["seen"]
    polling.post("41", "1")


def test_polling_upgrades_to_websocket_without_loss(node: Node, connect: Connect) -> None:
    polling = RawPolling(node.port)
    ws = connect(connect=False, query=f"&sid={polling.engine_sid}")
    ws.send("2probe")
    assert ws.receive() == "3probe"
    polling.post('427["echo","before"]')
    ws.send("5")
    seen = [ws.receive()]
    while not seen[-1].startswith("437["):
        seen.append(ws.receive())
    assert is_open(ws)
    ws.close()
    assert node.wait_for_end(polling.sid) == "transport close"


@pytest.mark.parametrize("words", [[], ["nonsense"], ["2probe", "nonsense"], ["2probe"]])
def test_failed_upgrade_leaves_polling_as_it_was(
    node: Node, words: list[str], connect: Connect
) -> None:
    polling = RawPolling(node.port)
    ws = connect(connect=False, query=f"&sid={polling.engine_sid}")
    for word in words:
        ws.send(word)
    if words[:1] == ["2probe"]:
        assert ws.receive() == "3probe"
    ws.close()

    def answers() -> bool:
        polling.post('421["echo",1]')
        texts = polling.get()
        return any(text.startswith("431[") for text in texts)

    wait_until(answers, what="polling goes on")
    polling.post("41", "1")


def test_polling_packets_that_are_none_are_answered(node: Node) -> None:
    polling = RawPolling(node.port)
    polling.post("", "x", "4", "2", "b!!", "4nonsense", '42["', '421["echo",1]')
    texts = []
    while not texts or not texts[-1].startswith("431["):
        texts.append(polling.receive())
    assert len(texts) == 8
    assert all(INVALID in text for text in texts[:-1])
    polling.post("41", "1")


def test_websocket_text_that_is_not_utf8_closes_with_1007(ws: RawWebsocket) -> None:
    ws.send_frame(0x81, b"4\xff\xfe")
    ws.until_end()
    assert ws.closed_with == 1007


def test_polling_body_that_is_no_text_is_answered(node: Node) -> None:
    polling = RawPolling(node.port)
    assert polling.request("POST", b"\xff\xfe\x00")[0] == 200
    assert INVALID in polling.receive()
    polling.post("41", "1")


def test_polling_body_over_the_bound_is_too_large_and_the_client_stays(node: Node) -> None:
    polling = RawPolling(node.port)
    assert polling.request("POST", b"4" * (MAX_FRAME_BYTES + 1))[0] == 200
    assert '"code":"too_large"' in polling.receive()
    polling.post('421["echo",1]')
    assert polling.answer(1)["ok"]
    polling.post("41", "1")


def test_polling_client_is_told_before_it_is_closed(node: Node, connect: Connect) -> None:
    """Also when no request of it waits at that moment."""
    polling, other = RawPolling(node.port), connect()
    other.call("close", {"sid": polling.sid, "reason": "superseded"})
    assert node.wait_for_end(polling.sid) == "superseded"
    assert polling.get() == ['42["last",{"bye":1}]', "41", "1"]
    wait_until(lambda: polling.request("GET")[0] == 400, 8)
    other.close()


# --- hostile input: the client is answered, stays, and nobody else notices


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
    assert ws.receive().startswith("44/admin,")
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
    assert node.wait_for_end(client.sid) == "transport close"


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
    junk = b'42["nope"]'
    closed = threading.Event()

    def send() -> None:
        try:
            while not closed.is_set():
                for _ in range(100):
                    client.send_frame(0x81, junk)
        except OSError:
            pass

    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait_until(lambda: client.sid in dict(node.figures()["ended"]), 40, every_s=0)
    finally:
        closed.set()
        sender.join()
    assert dict(node.figures()["ended"])[client.sid] in ("slow_client", "ping timeout")


# --- slow clients


def test_client_that_never_reads_cannot_grow_the_node(
    node: Node, bystander: None, connect: Connect
) -> None:
    """Guarantee 5: 200 MB for a client that does not read; the backlog stays below its bound."""
    client = connect()
    before = node.figures()
    client.send('42["flood",{"frames":2000,"bytes":100000,"pause":true}]')
    assert node.wait_for_end(client.sid) == "slow_client"
    after = node.figures()
    assert after["max_rss_kib"] - before["max_rss_kib"] < 40_000
    assert after["slow_clients"]["closed"] == before["slow_clients"].get("closed", 0) + 1
    assert is_open(connect())
    client.close()


def test_slow_client_that_reads_again_is_told(node: Node, connect: Connect) -> None:
    client = connect()
    # All of it in one go: it is behind, and reads what was sent before it is cut off for good.
    client.send('42["flood",{"frames":200,"bytes":100000}]')
    raw, data = client.ws.sock, bytearray()
    raw.settimeout(60)
    while part := raw.recv(1 << 20):  # frame by frame would take a busy machine longer than it has
        data += part
    assert node.wait_for_end(client.sid) == "slow_client"
    _, *errors = bytes(data).split(b'42["service_error",')
    assert [json.JSONDecoder().raw_decode(one.decode("latin-1"))[0]["code"] for one in errors] == [
        "slow_client"
    ]
    assert b"\x81\x0241" not in data  # so that it connects again


def test_polling_client_that_never_polls_is_bounded_and_told(node: Node) -> None:
    polling = RawPolling(node.port)
    polling.post('42["flood",{"frames":200,"bytes":100000}]')
    assert node.wait_for_end(polling.sid) == "slow_client"
    assert '"code":"slow_client"' in polling.get()[0]


def test_client_that_reads_gets_everything_though_it_is_much(ws: RawWebsocket) -> None:
    ws.send('421["flood",{"frames":15,"bytes":100000}]')
    texts = [ws.receive() for _ in range(16)]
    assert sum(len(text) == len('42["f","]') + 100_001 for text in texts) == 15
    assert ws.call("echo", 1)["ok"]


def test_polling_answer_is_cut_into_bursts(node: Node) -> None:
    """One answer holds about 64 KiB, however much waits."""
    polling = RawPolling(node.port)
    polling.post('421["flood",{"frames":100,"bytes":10000}]')
    texts: list[str] = []
    while not texts or not texts[-1].startswith("431["):
        got = polling.get()
        assert sum(map(len, got)) < 64 * 1024 + 11_000
        texts += [text for text in got if text != "2"]
        if "2" in got:
            polling.post("3")
    assert len(texts) == 101
    polling.post("41", "1")


# --- ends


def test_disconnect_of_the_server_really_ends_the_connection(node: Node, connect: Connect) -> None:
    """What waited is sent first, and the client is not relied upon to close."""
    client, other = connect(), connect()
    other.send(f'421["close",{{"sid":"{client.sid}","reason":"deleted"}}]')
    assert client.until_end() == ['42["last",{"bye":1}]', "41", "1"]
    assert node.wait_for_end(client.sid) == "deleted"
    third = connect()
    other.call("disconnect_sid", third.sid)
    assert third.until_end() == ["41", "1"]
    assert node.wait_for_end(third.sid) == "server disconnect"
    other.close()


@pytest.mark.parametrize("reason", ["draining", "superseded"])
def test_close_sends_what_waits_first(connect: Connect, reason: str) -> None:
    """An ack that was given is not taken back because its client is sent away."""
    client = connect()
    payload = {"frames": 5, "bytes": 100_000, "reason": reason}
    client.send(f'421["flood_and_close",{json.dumps(payload)}]')
    texts = client.until_end()
    assert [text[:5] for text in texts[:5]] == ['42["f'] * 5
    assert texts[5:7] == ['431[{"ok":true,"last":true}]', '42["bye",{}]']
    assert texts[7:] == ([] if reason == "draining" else ["41", "1"])


def test_connection_that_never_connects_to_the_namespace_ends(node: Node, connect: Connect) -> None:
    watch = Stopwatch()
    client = connect(connect=False)
    assert client.until_end() == []
    assert watch.elapsed_s > 1
    assert watch.quiet_s < 6


def test_close_of_a_client_that_does_not_close_back_cuts_it(node: Node, connect: Connect) -> None:
    client, other = connect(), connect()
    other.call("close", {"sid": client.sid, "reason": "deleted"})
    raw = client.ws.sock
    raw.settimeout(8)
    while raw.recv(4096):  # no close frame is sent back
        pass
    wait_until(lambda: node.figures()["engine_sockets"] <= 1, 8)
    other.close()


def test_socket_that_sends_no_pong_ends_in_time(node: Node, connect: Connect) -> None:
    """An unplugged device: seen within ping interval + timeout + 2 s (here 1 + 5 + 2)."""
    client = connect()
    watch = Stopwatch()
    assert node.wait_for_end(client.sid) == "ping timeout"
    assert watch.quiet_s < 8.5


def test_polling_client_that_stops_polling_ends_in_time(node: Node) -> None:
    polling = RawPolling(node.port)
    watch = Stopwatch()
    assert node.wait_for_end(polling.sid) == "ping timeout"
    assert watch.quiet_s < 8.5


def test_socket_survives_a_pause_of_the_node(node: Node, connect: Connect) -> None:
    """A node that was stopped for longer than a ping timeout finds the pongs that came meanwhile."""
    client = connect()
    stopped = threading.Event()
    texts: list[str] = []

    def read() -> None:
        while not stopped.is_set():
            try:
                texts.append(client.receive(0.2))
            except (OSError, websocket.WebSocketTimeoutException):
                continue

    reader = threading.Thread(target=read)
    reader.start()
    try:
        os.kill(node.process.pid, signal.SIGSTOP)
        watch = Stopwatch()
        wait_until(lambda: watch.elapsed_s > 7)
    finally:
        os.kill(node.process.pid, signal.SIGCONT)
    client.send('421["echo","after"]')
    wait_until(lambda: any('"after"' in text for text in texts), what="the socket lives")
    assert client.sid in node.figures()["sids"]
    stopped.set()
    reader.join()
    client.close()


def test_reset_connection_ends_at_once(node: Node, connect: Connect) -> None:
    client = connect()
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    client.ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.ws.sock.close()
    watch = Stopwatch()
    assert node.wait_for_end(client.sid) == "transport close"
    assert watch.quiet_s < 2


def test_end_during_a_blocking_handler_is_told_after_it(node: Node, connect: Connect) -> None:
    """A disconnect listener never runs beside a handler of its socket."""
    client = connect()
    client.send('421["slow",{"s":0.7}]')
    wait_until(lambda: ["slow begins", client.sid] in node.figures()["seen"])
    client.close()
    wait_until(lambda: client.sid not in node.figures()["sids"])
    figures = node.figures()
    if ["slow ends", client.sid] not in figures["seen"]:
        assert client.sid not in dict(figures["ended"])
    node.wait_for_end(client.sid)
    assert ["slow ends", client.sid] in node.figures()["seen"]


def test_nothing_is_left_behind_and_no_error_was_logged(node: Node) -> None:
    """Last: after all of the above no socket, peer, environ or room is left, and no traceback."""
    node.wait_for_silence(25)
    log = node.log.read_text()
    assert "Traceback" not in log, log[-4000:]
    assert "ERROR" not in log, log[-4000:]
