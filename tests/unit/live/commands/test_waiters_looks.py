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
        self.answers: list[dict[str, Any]] = []
        self.waiters = CommandWaiters(self, self.tasks, poll_s=poll_s, clock=self.tasks.monotonic)

    def get(self, session_id: str, command_id: str) -> dict[str, Any]:
        self.looks.append(self.tasks.now)
        return {**QUEUED, "status": self.status}

    def wait(self, until: str, timeout_s: float = 100) -> None:
        def wait() -> None:
            try:
                answer = self.waiters.wait("d1", QUEUED, until, timeout_s)
                self.ended.append((until, answer["status"]))
                self.answers.append(answer)
            except errors.ServiceError as error:
                self.ended.append((until, error.code))

        self.tasks.spawn(wait)
        self.tasks.run(5)

    def tell(self, status: str, **more: object) -> None:
        self.status = status
        self.waiters.on_command({"command_id": "c1", "status": status, **more})
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


END = {"attempt": 1, "updated_at": 3.5, "result": {"x": []}}


@pytest.mark.parametrize("until", ["delivered", "result"])
def test_message_with_the_end_of_a_command_is_its_answer(until: str) -> None:
    """Nothing is read for it; what else a message may have is no part of a command."""
    bench = Bench(poll_s=1000)
    bench.wait(until)
    looks = len(bench.looks)
    bench.tell("succeeded", end={**END, "params": "other"})
    assert bench.answers == [{**QUEUED, "status": "succeeded", **END}]
    assert len(bench.looks) == looks
    assert bench.waiters.count == 0


@pytest.mark.parametrize(
    "end", [None, [], {}, {**END, "attempt": "1"}, {"attempt": 1}, {**END, "updated_at": None}]
)
def test_message_whose_end_is_none_is_a_hint(end: object) -> None:
    """As that of a node of an earlier version."""
    bench = Bench(poll_s=1000)
    bench.wait("result")
    looks = len(bench.looks)
    bench.tell("succeeded", end=end)
    assert bench.answers == [{**QUEUED, "status": "succeeded"}]
    assert len(bench.looks) == looks + 1


def test_command_that_is_not_over_has_no_end() -> None:
    bench = Bench(poll_s=1000)
    bench.wait("delivered")
    bench.tell("delivered", end=END)
    assert bench.answers == [{**QUEUED, "status": "delivered"}]
