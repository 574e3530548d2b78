"""Clients at the end of slow networks, and clients that are dead: all transports and hubs.

The node pings after a second, and gives up after one more without a sign of life.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.nodes.socket_nodes import Node
from tests.support.system.slow_network import SlowNetwork
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes

#: Longer than a client may be silent.
TRANSFER_S = 3
RATE = 50_000


@pytest.fixture(
    scope="module",
    params=[(mode, road) for mode in ("eventlet", "gevent") for road in ("fast", "ordinary")],
    ids=lambda param: "-".join(param),
)
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    node = Node(*request.param, tmp_path_factory.mktemp("node"), ping_timeout_s=1)
    yield node
    log = node.log.read_text()
    node.end()
    assert "Traceback" not in log, log[-4000:]


@pytest.fixture
def network(node: Node) -> Iterator[SlowNetwork]:
    network = SlowNetwork(node.port, RATE)
    yield network
    network.end()


LONG = "x" * (RATE * TRANSFER_S)


def test_message_that_takes_longer_than_a_client_may_be_silent_comes_in(
    node: Node, network: SlowNetwork
) -> None:
    """No pong can be sent before its end. It is pinged meanwhile: libraries take other silence for a dead node."""
    ws, watch = RawWebsocket(network.port), Stopwatch()
    assert ws.call("note", {"length": LONG})["ok"]
    assert watch.elapsed_s > TRANSFER_S * 0.8
    assert ws.pings >= TRANSFER_S - 1
    ws.close()


def test_post_that_takes_longer_than_a_client_may_be_silent_comes_in(
    node: Node, network: SlowNetwork
) -> None:
    """As every library does, its client posts nothing else meanwhile, so no pong. It is pinged meanwhile."""
    polling, slow = RawPolling(node.port), RawPolling(network.port, connect=False)
    slow.engine_sid = polling.engine_sid
    posting = Thread(target=slow.post, args=(f"421{json.dumps(['note', LONG])}",), daemon=True)
    posting.start()
    assert [polling.get() for _ in range(TRANSFER_S - 1)] == [["2"]] * (TRANSFER_S - 1)
    posting.join(60)
    assert polling.answer(1)["ok"]


@pytest.mark.parametrize("frames", [1, 100], ids=["one", "many"])
def test_messages_that_leave_slowly_are_all_delivered(
    node: Node, network: SlowNetwork, frames: int
) -> None:
    """Pings wait behind them."""
    ws, size = RawWebsocket(network.port), len(LONG) // frames
    assert ws.call("flood", {"frames": frames, "bytes": size})["ok"]
    assert ws.call("echo", 1)["ok"]
    ws.close()


def test_answer_of_a_poll_that_leaves_slowly_is_delivered(node: Node, network: SlowNetwork) -> None:
    polling, slow = RawPolling(node.port), RawPolling(network.port, connect=False)
    slow.engine_sid = polling.engine_sid
    polling.post(f'42["flood",{{"frames":1,"bytes":{len(LONG)}}}]')
    assert len(slow.receive()) > len(LONG)
    assert polling.call("echo", 1)["ok"]


def test_what_a_client_has_not_taken_is_seen_though_the_kernel_has_it(node: Node) -> None:
    """Else a dashboard is conflated only after megabytes, and minutes."""
    ws = RawWebsocket(node.port)
    ws.send('421["flood",{"frames":1000,"bytes":1000,"pause":true}]')
    ws.send('42["note","flooded"]')
    wait_until(lambda: ["note", "flooded"] in node.figures()["seen"], what="all was sent")
    assert ws.answer(1)["most"] > 500_000
    ws.close()


# --- the dead


def test_dead_client_is_seen_in_time_though_a_proxy_takes_what_is_sent(node: Node) -> None:
    """Only what lies before the ping counts as a sign of life, once."""
    other, ws = RawWebsocket(node.port), RawWebsocket(node.port)
    watch = Stopwatch()
    ws.ws.sock.setblocking(False)
    while ws.sid not in dict(node.figures()["ended"]):
        assert other.call("send_to", {"sid": ws.sid, "value": "x" * 1000})["ok"]
        with contextlib.suppress(BlockingIOError):
            ws.ws.sock.recv(65536)  # as a proxy in front of it does
        assert watch.quiet_s < 5
    assert dict(node.figures()["ended"])[ws.sid] == "ping timeout"
    ws.cut()
    other.close()


@pytest.mark.parametrize("kind", [RawWebsocket, RawPolling])
def test_dead_client_for_which_much_waits_is_seen_in_time(
    node: Node, kind: Callable[[int], RawWebsocket | RawPolling]
) -> None:
    """It acknowledges nothing."""
    other, dead = RawWebsocket(node.port), kind(node.port)
    watch = Stopwatch()
    for _ in range(3):
        assert other.call("send_to", {"sid": dead.sid, "value": "x" * 900_000})["ok"]
    assert node.wait_for_end(dead.sid, 5) == "ping timeout"
    assert watch.quiet_s < 5
    other.close()
    if isinstance(dead, RawWebsocket):
        dead.cut()
