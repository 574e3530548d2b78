"""The worker's loop around RQ's."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from workers import runner


class FailingWorker:
    """Its Redis goes away while it works; `asked_to_end` as the signal handler left it."""

    def __init__(self, *, asked_to_end: bool) -> None:
        self.asked_to_end = asked_to_end

    def work(self, **options: Any) -> None:
        raise RedisConnectionError("gone")


@pytest.mark.parametrize("asked_to_end", [True, False])
def test_work_whose_queue_failed_ends_only_when_asked_to(
    monkeypatch: pytest.MonkeyPatch, asked_to_end: bool
) -> None:
    """SIGTERM is not forgotten because Redis failed at the same moment; without it, work goes on."""
    worker = FailingWorker(asked_to_end=asked_to_end)
    monkeypatch.setattr(runner.queues, "open_worker", lambda queue, name: worker)
    assert runner._work(object(), "w") is asked_to_end  # type: ignore[arg-type]


def test_work_whose_queue_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is away before there is a worker at all."""

    def away(queue: object, name: str) -> FailingWorker:
        raise RedisConnectionError("away")

    monkeypatch.setattr(runner.queues, "open_worker", away)
    assert runner._work(object(), "w") is False  # type: ignore[arg-type]
