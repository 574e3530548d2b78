"""Lost sockets are closed, all of them, by one task."""

from __future__ import annotations

from collections.abc import Callable

from service.transport.lost import TURN_SOCKETS, LostSockets


class Node:
    """Runs tasks when the test says so."""

    def __init__(self) -> None:
        self.tasks: list[Callable[[], None]] = []
        self.turns = 0
        self.lost = LostSockets(self.tasks.append, self._turn)

    def _turn(self, seconds: float) -> None:
        self.turns += 1

    def run(self) -> None:
        tasks = self.tasks[:]
        self.tasks.clear()
        for task in tasks:
            task()


class Socket:
    closed_for = ""

    def close(self, *, wait: bool, abort: bool, reason: str) -> None:
        assert abort and not wait
        self.closed_for = reason


class Broken(Socket):
    def close(self, **_: object) -> None:  # type: ignore[override]
        raise ValueError


def test_one_task_closes_all_that_were_lost_by_then() -> None:
    node, sockets = Node(), [Socket() for _ in range(2 * TURN_SOCKETS)]
    for socket in sockets:
        node.lost.add(socket, "gone")
    assert len(node.tasks) == 1
    node.run()
    assert {socket.closed_for for socket in sockets} == {"gone"}
    assert node.turns == 2  # others had their turn
    node.lost.add(last := Socket(), "ping timeout")
    node.run()
    assert last.closed_for == "ping timeout"


def test_one_that_fails_leaves_none_open() -> None:
    node, socket = Node(), Socket()
    node.lost.add(Broken(), "gone")
    node.lost.add(socket, "gone")
    node.run()
    assert socket.closed_for == "gone"
