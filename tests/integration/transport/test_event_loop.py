"""What only websockets that the event loop drives have to prove, on eventlet and on gevent.

What they share with the library transport is in the other files here, which run over both.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
import websocket

from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.clients.raw_wires import HANDSHAKE, Wire, text
from tests.support.nodes.socket_nodes import Node
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.parametrize(
        "node", [("eventlet", "fast"), ("gevent", "fast")], ids="-".join, indirect=True
    ),
]

Connect = Callable[..., RawWebsocket]


# --- closes


def test_client_that_closes_its_half_is_gone(node: Node, ws: RawWebsocket) -> None:
    ws.ws.sock.shutdown(socket.SHUT_WR)
    assert node.wait_for_end(ws.sid, 3) == "transport close"


def test_client_that_resets_while_much_waits_for_it_is_gone(node: Node, ws: RawWebsocket) -> None:
    ws.send('42["flood",{"frames":30,"bytes":100000}]')
    ws.ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ws.ws.sock.close()
    assert node.wait_for_end(ws.sid) in ("transport close", "ping timeout")


# --- back-pressure


def test_held_socket_is_not_read_and_goes_on_in_order(node: Node, ws: RawWebsocket) -> None:
    """Longer than a ping takes to be answered: its pongs wait too, and it is not found dead."""
    ws.send('42["hold",8]')
    ws.send('421["note","during"]')
    ws.send("3")
    with pytest.raises(websocket.WebSocketTimeoutException):
        ws.answer(1, 2.5)
    assert ["note", "during"] not in node.figures()["seen"]
    assert ws.answer(1) == {"ok": True}
    seen = node.figures()["seen"]
    released = next(i for i, one in enumerate(seen) if one[0] == "released")
    assert seen.index(["note", "during"]) > released
    assert ws.call("echo", 1)["ok"]


def test_held_socket_makes_its_client_wait(node: Node, ws: RawWebsocket) -> None:
    """What it sends meanwhile stays in the kernels' buffers, not in the node."""
    before = node.leftovers()["rss_kib"]
    ws.send('42["hold",6]')
    ws.ws.settimeout(1.5)
    sent = 0
    packet = text("x" * 60_000)
    with pytest.raises(OSError):  # it is full
        while sent < 200 << 20:
            sent += ws.ws.sock.send(packet)
    assert node.leftovers()["rss_kib"] - before < 8 << 10


def test_release_after_the_end_is_harmless(node: Node, ws: RawWebsocket, connect: Connect) -> None:
    ws.send('42["hold",0.5]')
    ws.cut()
    other = connect()
    wait_until(lambda: ws.sid not in node.figures()["sids"], 20)
    assert other.call("echo", 1)["ok"]


# --- from polling to websocket


def test_upgrade_amid_a_stream_loses_and_disorders_nothing(node: Node, connect: Connect) -> None:
    polling = RawPolling(node.port)
    polling.post('421["count",400]')
    polled: list[str] = []
    probed = threading.Event()

    def poll() -> None:
        while True:
            packets = polling.get()
            polled.extend(packet for packet in packets if packet[:1] == "4")
            if "6" in packets and probed.is_set():
                return  # as clients do: no poll after the NOOP that ends the last one

    poller = threading.Thread(target=poll)
    poller.start()
    wait_until(lambda: len(polled) > 20, what="some came by polling")
    ws = connect(connect=False, query=f"&sid={polling.engine_sid}")
    probed.set()
    ws.send("2probe")
    assert ws.receive() == "3probe"
    poller.join(60)
    assert not poller.is_alive()
    ws.send("5")
    while not polled[-1].startswith("431["):
        polled.append(ws.receive())
    assert polled[:-1] == [f'42["n",{number}]' for number in range(400)]
    assert ws.call("echo", 1)["ok"]


def test_upgrade_by_a_client_that_does_not_wait(node: Node, wire: Callable[..., Wire]) -> None:
    """Probe, upgrade and an event in one segment, with a poll under way."""
    polling = RawPolling(node.port)

    def poll() -> None:
        while polling.request("GET") == (200, b"2"):
            polling.request("POST", b"3")

    poller = threading.Thread(target=poll)
    poller.start()
    wait_until(lambda: node.figures()["polls"] > 0, what="the poll waits")
    one = wire(
        text("2probe") + text("5") + text('421["echo",1]'), query=f"&sid={polling.engine_sid}"
    )
    assert one.frame()[1] == b"3probe"
    assert one.until(b"431") == b'431[{"ok":true,"echo":1}]'
    poller.join(60)
    assert not poller.is_alive()
    assert polling.request("GET")[0] == 400


def test_second_probe_replaces_the_first(node: Node, connect: Connect) -> None:
    polling = RawPolling(node.port)
    first = connect(connect=False, query=f"&sid={polling.engine_sid}")
    first.send("2probe")
    assert first.receive() == "3probe"
    second = connect(connect=False, query=f"&sid={polling.engine_sid}")
    assert first.until_end() == []
    second.send("2probe")
    assert second.receive() == "3probe"
    second.send("5")
    assert second.call("echo", 1)["ok"]


def test_probe_that_says_nothing_leaves_with_its_client(node: Node, connect: Connect) -> None:
    polling = RawPolling(node.port)
    connect(connect=False, query=f"&sid={polling.engine_sid}")
    polling.post("41", "1")
    wait_until(lambda: node.leftovers()["links"] == 0, 15, what="no link is left")


# --- what the web server does not count any more


def test_connections_over_the_limit_are_told_overloaded(node: Node, connect: Connect) -> None:
    """400 here; the others stay, and there is room again when they have left."""
    wait_until(lambda: node.figures()["engine_sockets"] == 0, 20)
    request = HANDSHAKE.format(port=node.port, query="").encode()
    with contextlib.ExitStack() as some:
        for _ in range(400):
            one = some.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=60))
            one.sendall(request + text("40"))  # who does not connect would be sent away soon
            assert one.recv(4096).startswith(b"HTTP/1.1 101")
        url = f"http://127.0.0.1:{node.port}/socket.io/?EIO=4&transport=polling"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=20)
        with refused.value as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            assert json.load(answer)["code"] == "overloaded"
        with pytest.raises(websocket.WebSocketBadStatusException, match="503"):
            connect()
    wait_until(lambda: node.figures()["engine_sockets"] == 0, 20)
    assert connect().call("echo", 1)["ok"]
