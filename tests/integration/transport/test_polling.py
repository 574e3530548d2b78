"""Clients that poll: the same order and answers, the same bounds, and what is no text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.crowds.bystanders import is_open
from tests.support.nodes.socket_nodes import MAX_FRAME_BYTES, Node
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

Connect = Callable[..., RawWebsocket]
INVALID = "invalid_request"


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
