"""Clients that come and go by the thousand leave nothing on an event loop, and idle ones cost no task."""

from __future__ import annotations

import threading

import pytest

from tests.support.clients.raw_clients import RawWebsocket
from tests.support.clients.raw_wires import churn_once
from tests.support.nodes.socket_nodes import Node
from tests.support.sizes import sampled
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.parametrize(
        "node", [("eventlet", "fast"), ("gevent", "fast")], ids="-".join, indirect=True
    ),
]


def test_idle_connections_have_no_task_of_their_own(node: Node) -> None:
    wait_until(lambda: node.figures()["engine_sockets"] == 0, 20)
    before = node.leftovers()["greenlets"]
    clients = [RawWebsocket(node.port) for _ in range(50)]
    wait_until(lambda: node.leftovers()["greenlets"] <= before + 3, 20, what="no task each")
    for client in clients:
        client.cut()


def test_clients_that_come_and_go_leave_no_garbage(node: Node) -> None:
    """What refers to itself is freed by the garbage collector alone: it took a seventh of a node in a storm."""
    wait_until(lambda: node.figures()["engine_sockets"] == 0, 20)
    found: list[int] = []
    for number in range(100):
        churn_once(node.port, number % 5)

    def gone() -> bool:
        left = node.leftovers()
        found.append(left["garbage"])
        return not any(left[name] for name in ("links", "sockets"))

    wait_until(gone, 15, what="objects")
    assert sum(found) < 3 * 100


@pytest.mark.timeout(600)
def test_churn_leaves_nothing_behind(node: Node) -> None:
    """Clients come and go, in all ways to go: no socket, task, room, environ or descriptor."""

    def clean() -> bool:
        figures = node.figures()
        names = ("engine_sockets", "sids", "peers", "environs", "rooms")
        return not any(figures[name] for name in names)

    wait_until(clean, 30)
    before = node.leftovers()
    faults: list[BaseException] = []

    def come_and_go(worker: int) -> None:
        try:
            for number in range(sampled(1250, 125)):
                churn_once(node.port, (worker + number) % 5)
        except BaseException as error:  # shown below, in the test's own thread
            faults.append(error)

    workers = [threading.Thread(target=come_and_go, args=(n,)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not faults, faults[0]
    wait_until(clean, 30, what="everything is forgotten")
    wait_until(
        lambda: node.leftovers()["descriptors"] <= before["descriptors"] + 1, 15, what="descriptors"
    )
    wait_until(
        lambda: node.leftovers()["greenlets"] <= before["greenlets"] + 2, 30, what="tasks that end"
    )
    wait_until(
        lambda: not any(node.leftovers()[name] for name in ("links", "sockets")), 15, what="objects"
    )
    after = node.leftovers()
    assert after["rss_kib"] - before["rss_kib"] < 60_000
