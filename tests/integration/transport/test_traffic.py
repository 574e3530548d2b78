"""Ordinary traffic over real sockets, on both hubs and both transports: order, acks, rooms, fragments."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import socketio

from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.crowds.bystanders import is_open
from tests.support.nodes.socket_nodes import MAX_FRAME_BYTES, Node
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

Connect = Callable[..., RawWebsocket]


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
    ws.send('427["ask"]')
    assert ws.receive() == '421["question",{"a":1}]'
    ws.send('431[{"ok":true},2]')
    assert ws.answer(7) == {"ok": True, "arguments": [{"ok": True}, 2]}


def test_callbacks_of_python_socketio_work_beside_requests(ws: RawWebsocket) -> None:
    """Both count for the same socket, each below 2^31, as many clients need it."""
    ws.send('427["ask_upstream"]')
    theirs = int(ws.receive()[2:].partition("[")[0])
    ws.send('428["ask"]')
    ours = int(ws.receive()[2:].partition("[")[0])
    assert ours != theirs
    assert max(ours, theirs) < 1 << 31
    ws.send(f'43{ours}["ours"]')
    assert ws.answer(8) == {"ok": True, "arguments": ["ours"]}
    ws.send(f'43{theirs}["theirs"]')
    assert ws.answer(7) == {"ok": True, "arguments": ["theirs"]}


def test_binary_ack_is_refused_and_its_request_hears_that_it_cannot_be_read(
    ws: RawWebsocket,
) -> None:
    ws.send('421["ask"]')
    question = ws.receive()
    number = question[2 : question.index("[")]
    ws.send(f'461-{number}[{{"_placeholder":true,"num":0}}]')
    ws.send_bytes(b"attachment")
    assert ws.answer(1) == {"ok": True, "arguments": "invalid_request"}
    assert json.loads(ws.receive()[2:])[1]["code"] == "invalid_request"
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
