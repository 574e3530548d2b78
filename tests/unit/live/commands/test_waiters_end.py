"""Requests that wait for a command on a node that goes away."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from service import errors
from service.live.commands.waiters import CommandWaiters
from service.tasks import ThreadTasks
from tests.support.waiting import wait_until


class Store:
    def get(self, session_id: str, command_id: str) -> dict[str, Any]:
        return {"command_id": command_id, "status": "sent"}


def test_those_who_wait_are_released_and_nobody_waits_any_more() -> None:
    """At once, not when their time is over; the answer says where to look."""
    waiters = CommandWaiters(Store(), ThreadTasks())
    seen: list[BaseException] = []

    def wait() -> None:
        try:
            waiters.wait("d1", {"command_id": "c1", "status": "sent"}, "result", 8)
        except errors.ServiceError as error:
            seen.append(error)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: waiters.count == 1, 5)
    waiters.end()
    for thread in threads:
        thread.join(20)
    assert [type(error) for error in seen] == [errors.Draining] * 3
    assert waiters.count == 0
    with pytest.raises(errors.Draining):
        waiters.check()


class Tasks(ThreadTasks):
    """Time that passes at once."""

    now = 0.0

    def event(self) -> Any:
        event = threading.Event()
        event.wait = self.wait  # type: ignore[method-assign]
        return event

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0
        return False


def test_who_has_hung_up_takes_no_place_for_longer_than_a_look() -> None:
    tasks = Tasks()
    waiters = CommandWaiters(Store(), tasks, clock=lambda: tasks.now)
    with pytest.raises(errors.CommandTimeout):
        waiters.wait(
            *("d1", {"command_id": "c1", "status": "sent"}, "result", 50),
            is_gone=lambda: tasks.now > 3,
        )
    assert tasks.now <= 5
    assert waiters.count == 0
