"""How connections end: by the server, the client, silence or a cut, and what is told of it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable

import pytest
import websocket

from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.nodes.socket_nodes import Node
from tests.support.system.pauses import pause, resume
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes

Connect = Callable[..., RawWebsocket]


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


def test_poll_that_waits_is_answered_when_no_pong_came(node: Node) -> None:
    """With a NOOP: an empty answer is no payload."""
    polling = RawPolling(node.port)
    while (answer := polling.request("GET")) == (200, b"2"):  # and not answered
        pass
    assert answer == (200, b"6")
    assert polling.request("GET")[0] == 400


@pytest.mark.parametrize("end", ["ping timeout", "close"])
def test_post_to_a_session_that_has_ended_is_refused(node: Node, end: str) -> None:
    """A client that slept, and whose first word is a pong, hears that it is to connect anew."""
    polling = RawPolling(node.port)
    if end == "close":
        polling.post("1")
    else:
        node.wait_for_end(polling.sid)
    for _ in range(2):
        status, body = polling.request("POST", b"3")
        assert (status, body[:16]) == (400, b'"Invalid session')


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
        pause(node.process.pid)
        watch = Stopwatch()
        wait_until(lambda: watch.elapsed_s > 7)
    finally:
        resume(node.process.pid)
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
