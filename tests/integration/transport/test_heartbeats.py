"""Pings and pongs, as bug reports of other projects have them go wrong."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.nodes.socket_nodes import Node
from tests.support.system.pauses import pause, resume
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes

Connect = Callable[..., RawWebsocket]


@contextmanager
def answering(websockets: list[RawWebsocket], polling: list[RawPolling]) -> Iterator[None]:
    """They answer each ping at once, as long as this lasts."""
    is_over = threading.Event()
    by_socket = {one.ws.sock: one for one in websockets}

    def answer_all() -> None:
        while not is_over.is_set():
            for sock in select.select(list(by_socket), [], [], 0.1)[0]:
                data = by_socket[sock].ws.recv_data()[1]
                if not data:
                    del by_socket[sock]
                elif data == b"2":
                    by_socket[sock].pings += 1
                    by_socket[sock].send("3")

    def answer_polls(one: RawPolling) -> None:
        while not is_over.is_set():
            status, _ = one.request("GET")
            if status != 200:
                return
            one.request("POST", b"3")

    threads = [threading.Thread(target=answer_all)]
    threads += [threading.Thread(target=answer_polls, args=(one,)) for one in polling]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_no_client_is_taken_for_dead_because_its_node_stands_still_again_and_again(
    node: Node, connect: Connect
) -> None:
    """For longer than a ping timeout together; their pongs wait in the kernel (coder/claudecode.nvim#141)."""
    websockets, polling = [connect() for _ in range(60)], [RawPolling(node.port) for _ in range(3)]
    sids = {one.sid for one in (*websockets, *polling)}
    with answering(websockets, polling):
        wait_until(lambda: all(one.pings for one in websockets), what="pings come")
        for _ in range(7):
            pause(node.process.pid)
            try:
                watch = Stopwatch()
                wait_until(lambda w=watch: w.elapsed_s > 1)
            finally:
                resume(node.process.pid)
        before = [one.pings for one in websockets]
        wait_until(
            lambda: all(one.pings > was for one, was in zip(websockets, before, strict=True)),
            what="pings come again",
        )
        figures = node.figures()
    assert sids - set(figures["sids"]) == set()


def test_client_may_send_pings_and_pongs_of_its_own(node: Node, ws: RawWebsocket) -> None:
    """Of the websocket protocol and of Engine.IO, unasked and with any data, next to those that are due.

    slact/nchan#251 closed at an unasked pong; apps of dotnet/runtime#60171 send nothing else.
    """
    for number in range(3):
        ws.send_frame(0x8A, b"unasked")
        ws.send_frame(0x8A, b"")
        ws.send("3")
        ws.send("3unasked")
        ws.send_frame(0x89, b"%d" % number)
        opcode, data = ws.ws.recv_data(control_frame=True)
        while opcode != 0xA:
            assert data == b"2"
            opcode, data = ws.ws.recv_data(control_frame=True)
        assert data == b"%d" % number
    assert ws.call("echo", 1)["echo"] == 1
    pings = ws.pings
    assert wait_until(
        lambda: ws.call("echo", 2) and ws.pings > pings, what="it is pinged as before"
    )


def test_ping_that_leaves_amid_an_upgrade_arrives_once_and_its_pong_counts(
    node: Node, connect: Connect
) -> None:
    """Quobject/EngineIoClientDotNet#38: it was dropped, the client timed out, connected again, and so on."""
    polling = RawPolling(node.port)
    ws = connect(connect=False, query=f"&sid={polling.engine_sid}")
    ws.send("2probe")
    assert ws.receive() == "3probe"
    assert polling.get() == ["6"]
    watch = Stopwatch()
    wait_until(lambda: watch.elapsed_s > 1.3)  # a ping is due meanwhile, and no poll waits for it
    ws.send("5")
    ws.ws.settimeout(20)
    first = ws.ws.recv_data()[1]
    wait_until(lambda: watch.elapsed_s > 1.8)
    ws.send("3")
    seen = []
    while watch.elapsed_s < 6.5:  # longer than the first ping may be without a pong
        seen.append(ws.ws.recv_data()[1])
        ws.send("3")
    assert (first, set(seen)) == (b"2", {b"2"})
    assert 3 <= len(seen) <= 8
    assert polling.sid in node.figures()["sids"]
