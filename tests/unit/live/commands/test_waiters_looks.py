"""Requests that wait for a command: each for its own status, woken by messages and by looks now and then."""

from __future__ import annotations

from typing import Any

import pytest

from service import errors
from service.live.commands.waiters import CommandWaiters
from tests.support.nodes.live_fakes import SimulatedTasks

QUEUED = {"command_id": "c1", "status": "queued"}


class Bench:
    def __init__(self, poll_s: float) -> None:
        self.tasks = SimulatedTasks()
        self.status = "queued"
        self.looks: list[float] = []
        self.ended: list[tuple[str, str]] = []
        self.waiters = CommandWaiters(self, self.tasks, poll_s=poll_s, clock=self.tasks.monotonic)

    def get(self, session_id: str, command_id: str) -> dict[str, Any]:
        self.looks.append(self.tasks.now)
        return {**QUEUED, "status": self.status}

    def wait(self, until: str, timeout_s: float = 100) -> None:
        def wait() -> None:
            try:
                answer = self.waiters.wait("d1", QUEUED, until, timeout_s)
                self.ended.append((until, answer["status"]))
            except errors.ServiceError as error:
                self.ended.append((until, error.code))

        self.tasks.spawn(wait)
        self.tasks.run(5)

    def tell(self, status: str) -> None:
        self.status = status
        self.waiters.on_command({"command_id": "c1", "status": status})
        self.tasks.run(0.1)


def test_several_wait_for_one_command_each_for_its_status() -> None:
    bench = Bench(poll_s=1000)
    bench.wait("delivered")
    bench.wait("result")
    bench.tell("delivered")
    assert bench.ended == [("delivered", "delivered")]
    bench.tell("succeeded")
    assert bench.ended == [("delivered", "delivered"), ("result", "succeeded")]
    assert bench.waiters.count == 0


def test_node_that_leaves_answers_at_once() -> None:
    bench = Bench(poll_s=1000)
    bench.wait("delivered")
    bench.wait("result")
    bench.waiters.end()
    bench.tasks.run(0.1)
    assert bench.ended == [("delivered", "draining"), ("result", "draining")]


def test_it_is_looked_now_and_then_whatever_message_was_lost() -> None:
    bench = Bench(poll_s=2)
    bench.wait("result")
    bench.tasks.run(90)
    gaps = [later - before for before, later in zip(bench.looks, bench.looks[1:], strict=False)]
    assert max(gaps) == pytest.approx(2, abs=0.1)


def test_wait_ends_in_its_time() -> None:
    bench = Bench(poll_s=1000)
    bench.wait("result", 20)
    bench.tasks.run(16)
    assert bench.ended == [("result", "command_timeout")]
