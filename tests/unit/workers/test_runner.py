"""The worker's loop around RQ's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.worker import WorkerStatus

from workers import runner
from workers.runner import Shift


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class FailingWorker:
    """Its Redis goes away while it works."""

    horse_pid = 0

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = meanwhile

    def get_state(self) -> str:
        return WorkerStatus.BUSY

    def work(self, **options: Any) -> None:
        self._meanwhile()
        raise RedisConnectionError("gone")


def shift_of(monkeypatch: pytest.MonkeyPatch, *meanwhile: Callable[[], object]) -> Shift:
    """A shift whose workers do this, one after the other, while their Redis goes away."""
    left = list(meanwhile)
    monkeypatch.setattr(runner, "_RETRY_S", 0.01)
    monkeypatch.setattr(
        runner.queues, "open_worker", lambda queue, name, asked: FailingWorker(left.pop(0))
    )
    shift = Shift(object(), "w", object())  # type: ignore[arg-type]
    shift.ending.catch_signals()
    return shift


def test_a_worker_whose_queue_failed_works_on_until_it_is_asked_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGTERM is not forgotten because Redis failed at the same moment."""
    ran: list[int] = []
    shift = shift_of(monkeypatch, lambda: ran.append(1), lambda: ran.append(2), lambda: ask())

    def ask() -> None:
        shift.ending.ask()

    shift.run()
    assert ran == [1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_between_two_workers_ends_the_shift(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Also where the handlers were those of a worker that is gone."""

    def forget() -> None:
        signal.signal(number, lambda *_: None)

    shift = shift_of(monkeypatch, forget)
    monkeypatch.setattr(
        runner.threading.Event, "wait", lambda *_: os.kill(os.getpid(), number) or True
    )
    shift.run()
    assert shift.ending.asked


def test_a_queue_that_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is away before there is a worker at all."""
    tried: list[str] = []

    def away(queue: object, name: str, asked: object) -> FailingWorker:
        tried.append(name)
        if len(tried) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        raise RedisConnectionError("away")

    monkeypatch.setattr(runner, "_RETRY_S", 0.01)
    monkeypatch.setattr(runner.queues, "open_worker", away)
    shift = Shift(object(), "w", object())  # type: ignore[arg-type]
    shift.ending.catch_signals()
    shift.run()
    assert len(set(tried)) == 3
