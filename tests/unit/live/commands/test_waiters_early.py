"""Messages that come before their request waits: the device's node hears of a command when it is stored."""

from __future__ import annotations

from typing import Any

import pytest

from service.live.commands import waiters as module
from service.live.commands.waiters import CommandWaiters
from tests.support.nodes.live_fakes import SimulatedTasks

QUEUED = {"command_id": "c1", "status": "queued", "attempt": 0}
END = {"attempt": 1, "updated_at": 2.0, "result": 7}


class Bench:
    def __init__(self) -> None:
        self.tasks = SimulatedTasks()
        self.status = "queued"
        self.looks: list[float] = []
        self.answers: list[dict[str, Any]] = []
        self.waiters = CommandWaiters(self, self.tasks, poll_s=100, clock=self.tasks.monotonic)
        self.began = self.tasks.now

    def get(self, session_id: str, command_id: str) -> dict[str, Any]:
        self.looks.append(self.tasks.now - self.began)
        return {**QUEUED, "status": self.status}

    def tell(self, status: str, command_id: str = "c1", **more: Any) -> None:
        self.waiters.on_command({"command_id": command_id, "status": status, **more})

    def wait(self, until: str = "result") -> None:
        self.tasks.spawn(
            lambda: self.answers.append(self.waiters.wait("d1", QUEUED, until, timeout_s=60))
        )
        self.tasks.run(0.01)


def test_end_that_came_first_is_the_answer() -> None:
    bench = Bench()
    bench.tell("succeeded", end=END)
    bench.wait()
    assert bench.answers == [{**QUEUED, "status": "succeeded", **END}]
    assert bench.looks == []
    assert bench.waiters.count == 0


def test_status_that_came_first_is_looked_at_at_once() -> None:
    bench = Bench()
    bench.status = "delivered"
    bench.tell("delivered")
    bench.wait("delivered")
    assert [answer["status"] for answer in bench.answers] == ["delivered"]
    assert bench.looks == [0]


def test_status_that_is_not_waited_for_changes_nothing() -> None:
    bench = Bench()
    bench.tell("delivered")
    bench.wait()
    assert not bench.answers and not bench.looks
    bench.tell("succeeded", end=END)
    bench.tasks.run(0.01)
    assert [answer["status"] for answer in bench.answers] == ["succeeded"]


@pytest.mark.parametrize("order", [("delivered", "succeeded"), ("succeeded", "delivered")])
def test_end_counts_in_whatever_order_several_came_first(order: tuple[str, str]) -> None:
    bench = Bench()
    for status in order:
        bench.tell(status, **({"end": END} if status == "succeeded" else {}))
    bench.wait()
    assert [answer["status"] for answer in bench.answers] == ["succeeded"]


def test_messages_of_commands_that_no_request_asks_for_are_bounded() -> None:
    bench = Bench()
    for number in range(module.MAX_EARLY + 5):
        bench.tell("succeeded", f"other-{number}", end=END)
    assert len(bench.waiters._early) == module.MAX_EARLY
    bench.tell("succeeded", end=END)
    bench.wait()
    assert len(bench.answers) == 1
    assert len(bench.waiters._early) == module.MAX_EARLY - 1
