"""How long the end of a worker may take."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.support.waiting import wait_until
from workers import ending
from workers.ending import Ending


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "END_S", 0.05)
    monkeypatch.setattr(ending, "PATIENCE_S", 0.1)
    monkeypatch.setattr(ending, "_LOOK_S", 0.01)


class Process:
    """What an ending sees and does."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, answers: Callable[[], bool], *, busy: bool
    ) -> None:
        self.busy = busy
        self.left: list[int] = []
        self.killed: list[int] = []
        monkeypatch.setattr(ending.os, "killpg", lambda group, _: self.killed.append(group))
        self.ending = Ending(answers, lambda: self.busy, lambda: 77, self.left.append)
        self.ending.start()


def hangs() -> bool:
    raise RedisTimeoutError("no answer")


def test_goodbyes_that_hang_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, hangs, busy=False)
    process.ending.ask()
    wait_until(lambda: process.left == [0], 5)
    assert process.killed == []


def test_the_job_under_way_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as it takes; the time for goodbyes begins then."""
    asked: list[int] = []
    process = Process(monkeypatch, lambda: bool(asked.append(1) or True), busy=True)
    process.ending.ask()
    wait_until(lambda: len(asked) > 30, 10)
    assert process.left == []
    process.busy = False
    wait_until(lambda: process.left == [0], 5)
    assert process.killed == []


@pytest.mark.parametrize("answers", [hangs, lambda: False])
def test_a_job_whose_redis_hangs_is_left_to_others(
    monkeypatch: pytest.MonkeyPatch, answers: Callable[[], bool]
) -> None:
    process = Process(monkeypatch, answers, busy=True)
    process.ending.ask()
    wait_until(lambda: process.left == [0], 5)
    assert process.killed == [77]
