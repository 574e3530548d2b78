"""Long-lived tasks of a worker: nothing that a step raises ends them, or keeps others from their turn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from service.errors import ConfigError, StoreUnavailable
from tests.support.waiting import wait_until
from workers import signs, watch
from workers.loops import Loop, run_all
from workers.signs import Signs
from workers.turns import Turns
from workers.watch import Watch

ERRORS = [
    StoreUnavailable(),
    ConfigError("x"),
    RedisConnectionError("x"),
    OSError("x"),
    KeyError("x"),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.01)
    monkeypatch.setattr(signs, "SIGN_EVERY_S", 0.01)


def loops() -> dict[str, Callable[[Any], Loop]]:
    """All of them, made around what calls nothing real."""

    def a_watch(broken: Any) -> Loop:
        return Watch(lambda: broken, broken, broken, broken, broken, broken).loop

    return {"watch": a_watch, "signs": lambda broken: Signs(lambda: broken).loop}


@pytest.mark.parametrize("name", loops())
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_task_lives_on_whatever_its_calls_raise(name: str, error: Exception) -> None:
    """Each step is called again and again, the last as the first."""
    calls: dict[str, int] = {}

    class Broken:
        """Whatever is asked of it, it raises."""

        def __getattr__(self, called: str) -> Any:
            calls[called] = calls.get(called, 0) + 1
            raise error

    loop = loops()[name](Broken())
    steps = len(loop._steps)
    loop.start()
    try:
        wait_until(lambda: len(calls) >= min(steps, 2) and min(calls.values()) > 3, 10)
        assert loop.is_alive
        assert (loop.failures > 0) is isinstance(error, KeyError)
    finally:
        loop.stop(5)
    assert not loop.is_alive


@pytest.mark.parametrize("at", range(9))
def test_a_step_that_fails_keeps_no_other_from_its_turn(at: int) -> None:
    """The watch has many; each may be the one."""
    done: list[int] = []

    def step(number: int) -> Callable[[], None]:
        def run() -> None:
            if number == at:
                raise KeyError(number)
            done.append(number)

        return run

    loop = Loop("test", [step(number) for number in range(9)], 0.01)
    loop.start()
    wait_until(lambda: len(done) > 24, 10)
    loop.stop(5)
    assert set(done) == set(range(9)) - {at}
    assert loop.failures > 2


def test_what_has_to_wait_is_said_once_and_when_it_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    answers = iter([OSError("away"), OSError("away"), None, None])

    def step() -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    loop = Loop("test", [step], 0.01)
    for _ in range(4):
        loop.guarded(step)
    actions = [getattr(record, "action", "") for record in caplog.records]
    assert actions == ["worker_waits", "worker_goes_on"]


def test_run_all_runs_all_and_raises_the_first() -> None:
    done: list[int] = []

    def fail() -> None:
        raise KeyError("first")

    def fail_too() -> None:
        raise ValueError

    with pytest.raises(KeyError):
        run_all([lambda: done.append(1), fail, fail_too, lambda: done.append(2)])
    assert done == [1, 2]


def test_the_keeper_of_a_turn_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal that failed is tried again."""
    monkeypatch.setattr("workers.turns.RENEW_S", 0.01)
    turns = Turns(MagicMock(), MagicMock(), "line", "ids")
    tried: list[float] = []

    def hold(sweep: str, token: str, seconds: float) -> bool:
        tried.append(seconds)
        if len(tried) > 1:
            raise KeyError("x")
        return True

    monkeypatch.setattr(turns, "hold", hold)
    with turns.held(watch.Sweep("s", 1), "t") as is_mine:
        assert is_mine
        wait_until(lambda: len(tried) > 4, 10)
