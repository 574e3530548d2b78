"""Readiness, check by check."""

from __future__ import annotations

import contextlib

from service.observability.health import Check, Health, QueueProbe
from service.tasks import ThreadTasks


def test_look_names_every_check_and_is_ready_when_all_are():
    health = Health({"redis": lambda: Check(True, {"age_s": 1}), "backlog": lambda: Check(True)})
    assert health.look() == (
        True,
        {
            "ready": True,
            "checks": {
                "redis": {"ok": True, "needed": True, "age_s": 1},
                "backlog": {"ok": True, "needed": True},
            },
        },
    )


def test_look_with_one_bad_check_is_not_ready():
    health = Health({"redis": lambda: Check(False), "backlog": lambda: Check(True)})
    ready, shown = health.look()
    assert not ready
    assert shown["checks"]["redis"] == {"ok": False, "needed": True}


def test_look_with_a_bad_check_that_is_not_needed_is_ready_and_shows_it():
    health = Health({"redis": lambda: Check(True), "workers": lambda: Check(False, needed=False)})
    ready, shown = health.look()
    assert ready
    assert shown["checks"]["workers"] == {"ok": False, "needed": False}


class Queue:
    def __init__(self) -> None:
        self.answers = [True, False]

    def echo(self, timeout_s: float = 1.0) -> bool:
        return self.answers.pop(0)


def test_probe_is_bad_until_the_first_echo_and_after_a_lost_one():
    now = 10.0
    probe = QueueProbe(Queue(), ThreadTasks(), monotonic=lambda: now)
    assert probe.check() == Check(False, {"heard_s_ago": None})

    probe.try_once()
    assert probe.check() == Check(True, {"heard_s_ago": 0.0})

    now = 12.5
    probe.try_once()
    assert probe.check() == Check(False, {"heard_s_ago": 2.5})


def test_probe_that_fails_in_any_way_is_not_ok_and_tries_again() -> None:
    answers: list[object] = [True, RuntimeError("odd"), True]

    class Queue:
        def echo(self, timeout_s: float = 1.0) -> bool:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return bool(answer)

    probe = QueueProbe(Queue(), ThreadTasks())
    seen = []
    for _ in range(3):
        with contextlib.suppress(RuntimeError):  # its loop waits and goes on
            probe.try_once()
        seen.append(probe.ok)
    assert seen == [True, False, True]
