"""Calls of many tasks in one round trip; tasks are greenlets that the test switches."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

import pytest
from greenlet import GreenletExit, getcurrent, greenlet
from redis.exceptions import ConnectionError as RedisConnectionError

from service import errors
from service.redis_access import together
from service.redis_access.together import Together


class Flag:
    """What a task waits for: it goes back to the test until the flag is set."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        while not self._is_set:
            getcurrent().parent.switch()
        return True


class Server:
    """Answers ten times a number; a round trip takes until the test lets it go on."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []
        self.fails: Exception | None = None

    def __call__(self, calls: Sequence[Any]) -> list[Any]:
        for call in calls:
            if not isinstance(call, int):
                raise TypeError(f"{call!r} cannot be sent")
        self.sent.append(list(calls))
        getcurrent().parent.switch()
        if self.fails is not None:
            raise self.fails
        return [errors.LateCall() if call < 0 else 10 * call for call in calls]


class Crowd:
    """Tasks that ask at one time."""

    def __init__(self) -> None:
        self.server = Server()
        self.way = Together(self.server, Flag)
        self.found: dict[Any, Any] = {}
        self.tasks: list[greenlet] = []

    def ask(self, *calls: Any) -> None:
        for call in calls:
            self.tasks.append(greenlet(lambda call=call: self._ask(call)))
            self.tasks[-1].switch()

    def _ask(self, call: Any) -> None:
        try:
            self.found[call] = self.way.ask(call)
        except Exception as error:
            self.found[call] = type(error)

    def finish(self) -> None:
        """Let all go on until they have their answers."""
        for _ in range(2 + 3 * len(self.tasks)):
            for task in self.tasks:
                if not task.dead:
                    task.switch()
        assert all(task.dead for task in self.tasks)


def test_first_goes_at_once_and_those_who_come_meanwhile_go_together() -> None:
    crowd = Crowd()
    crowd.ask(1, 2, 3, 4)
    assert crowd.server.sent == [[1]]
    crowd.finish()
    assert crowd.server.sent == [[1], [2, 3, 4]]
    assert crowd.found == {1: 10, 2: 20, 3: 30, 4: 40}
    crowd.ask(5)
    crowd.finish()
    assert crowd.server.sent[-1] == [5]


def test_round_trip_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST", 2)
    crowd = Crowd()
    crowd.ask(*range(6))
    crowd.finish()
    assert crowd.server.sent == [[0], [1, 2], [3, 4], [5]]


def test_error_that_is_an_answer_is_raised_by_the_one_who_asked() -> None:
    crowd = Crowd()
    crowd.ask(1, 2, -3, 4)
    crowd.finish()
    assert crowd.found == {1: 10, 2: 20, -3: errors.LateCall, 4: 40}


def test_call_that_cannot_be_sent_fails_alone() -> None:
    crowd = Crowd()
    crowd.ask(1, 2, "three", 4)
    crowd.finish()
    assert crowd.found == {1: 10, 2: 20, "three": TypeError, 4: 40}
    crowd.ask("alone", 5)
    crowd.finish()
    assert crowd.found["alone"] is TypeError
    assert crowd.found[5] == 50


def test_all_know_when_no_answer_came_and_the_next_ones_are_sent() -> None:
    crowd = Crowd()
    crowd.server.fails = errors.StoreUnavailable()
    crowd.ask(*range(3 * together.MOST))
    crowd.finish()
    assert set(crowd.found.values()) == {errors.StoreUnavailable}
    assert len(crowd.server.sent) == 1  # nobody waits for one timeout after the other
    crowd.server.fails = None
    crowd.ask(-4, 5)
    crowd.finish()
    assert crowd.found[5] == 50


def test_nobody_waits_for_a_task_that_was_ended() -> None:
    crowd = Crowd()
    crowd.ask(1, 2, 3)
    crowd.tasks[0].switch()  # has its answer: the second is to send, and is not there yet
    crowd.tasks[1].throw(GreenletExit)
    crowd.finish()
    assert crowd.found == {1: 10, 3: 30}
    crowd.ask(4, 5, 6)
    crowd.tasks[3].switch()
    crowd.tasks[4].switch()  # sends for itself and the next
    crowd.tasks[4].throw(GreenletExit)
    crowd.finish()
    assert crowd.found[4] == 40
    assert crowd.found[6] is RedisConnectionError
    crowd.ask(7)
    crowd.finish()
    assert crowd.found[7] == 70


def test_error_that_many_are_told_keeps_nobody_elses_frames() -> None:
    """A fleet that registers while Redis is away would be kept whole, and each log line would be as long as it."""
    crowd = Crowd()
    crowd.server.fails = errors.StoreUnavailable()
    depths: list[int] = []

    def ask(call: int) -> None:
        try:
            crowd.way.ask(call)
        except errors.StoreUnavailable as error:
            depths.append(len(traceback.extract_tb(error.__traceback__)))

    for call in range(50):
        crowd.tasks.append(greenlet(ask))
        crowd.tasks[-1].switch(call)
    crowd.finish()
    assert len(depths) == 50
    assert depths[0] > 2  # who sent it sees where it failed
    assert set(depths[1:]) == {2}
