"""Clients that do not read: what waits for them is bounded, and they are told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.crowds.bystanders import is_open
from tests.support.nodes.socket_nodes import Node

pytestmark = pytest.mark.processes

Connect = Callable[..., RawWebsocket]


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
