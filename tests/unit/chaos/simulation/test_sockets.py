"""Sockets of a simulated node: both ends of a line learn that it is over."""

from __future__ import annotations

from typing import Any

import pytest
import socketio

from chaos.proxy import Line
from chaos.simulation.scheduler import Process, Scheduler
from chaos.simulation.sockets import SILENCE_S, ClientLine, ClientLines, SimulatedSockets


class Bench:
    """A node with one client, on a line that can be deaf."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(1)
        self.lines = ClientLines(self.scheduler, 5000)
        node = Process("node")
        self.sockets = SimulatedSockets(self.scheduler, node, self.lines, "token")
        self.came: list[str | None] = []  #: at the client; None: it is over
        self.left: list[str] = []  #: why, at the node
        self.sockets.manager = socketio.Manager()
        self.sockets.manager.set_server(self.sockets)
        self.sockets.serve(self, lambda *_: None)
        self.line = ClientLine(self.sockets, Process("people"), self.came.append)
        self.lines.open.append(self.line)
        self.line.up.send("40")
        self.passes(1.0)

    def connected(self, *_: Any) -> None:
        """A client is there."""

    def disconnected(self, _sid: str, reason: str) -> None:
        self.left.append(reason)

    def passes(self, seconds: float) -> None:
        over: list[bool] = []
        self.scheduler.spawn(Process("clock"), over.append, True, after_s=seconds)
        self.scheduler.run_until(lambda: bool(over))


@pytest.mark.parametrize(
    ("deaf_s", "left", "came"),
    [(SILENCE_S - 0.1, [], ["40"]), (SILENCE_S + 1.1, ["ping timeout"], ["40", None])],
)
def test_client_that_its_node_gave_up_learns_it_when_the_line_is_whole_again(
    deaf_s: float, left: list[str], came: list[str | None]
) -> None:
    bench = Bench()
    bench.lines.line = Line(deaf=True)
    bench.passes(deaf_s)
    assert (bench.left, bench.came) == (left, ["40"])
    bench.lines.heal()
    bench.passes(1.0)
    bench.scheduler.end()
    assert bench.came == came
