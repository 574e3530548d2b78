"""Answers of devices that wait for Redis: each with its own pauses, by whom it is, and bounded while it waits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service import errors
from service.acting import Actor, actor
from service.live.commands import answers
from service.live.commands.answers import CommandAnswers
from service.sessions.model import CommandChange
from tests.support.nodes.live_fakes import SimulatedTasks

ANNA = Actor("anna", "device", "socket")


class Bench:
    """A store that is away so often, and records the rest."""

    def __init__(self) -> None:
        self.tasks = SimulatedTasks()
        self.fails: list[Exception] = []
        self.tries: list[float] = []
        self.ended: list[tuple[str, bool, str, str]] = []
        self.by: list[Actor] = []
        self.told: list[CommandChange] = []
        self.answers = CommandAnswers(self, self.told.extend, self.tasks)  # type: ignore[arg-type]

    def finish(
        self, session_id: str, generation: int, command_id: str, **end: Any
    ) -> CommandChange | None:
        self.tries.append(self.tasks.now)
        if self.fails:
            raise self.fails.pop(0)
        self.by.append(actor())
        self.ended.append((command_id, end["ok"], end["result_json"], end["error_json"]))
        return CommandChange(session_id, command_id, "go", "succeeded", "", True)

    def note(self, command_id: str, *arguments: Any, session_id: str = "d1") -> None:
        self.answers.note(session_id, 1, command_id, [*arguments], ANNA)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_answer_is_recorded_for_its_device_and_those_who_wait_are_notified(bench: Bench) -> None:
    bench.note("c1", {"ok": True, "result": 5})
    bench.tasks.run(1)
    assert bench.ended == [("c1", True, "5", "")]
    assert bench.by == [ANNA]
    assert [change.command_id for change in bench.told] == ["c1"]


def test_room_of_an_answer_is_free_once_it_is_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER_BYTES", 100)
    for number in range(10):
        bench.note(f"c{number}", {"ok": True, "result": "x" * 60})
        bench.note("too much", {"ok": True, "result": "x" * 60})
        bench.tasks.run(1)
    assert [one[0] for one in bench.ended] == [f"c{number}" for number in range(10)]


def test_each_answer_has_its_own_pauses(bench: Bench) -> None:
    """A long outage before one makes the next wait no longer."""
    bench.fails = [errors.StoreUnavailable()] * 8
    bench.note("c1", {"ok": True})
    bench.tasks.run(0)
    bench.note("c2", {"ok": True})
    record = bench.finish

    def away_again(*args: Any, **end: Any) -> CommandChange | None:
        if args[2] == "c2" and len(bench.ended) == 1 and not again:
            again.append(True)
            bench.fails = [errors.StoreUnavailable()]
        return record(*args, **end)

    again: list[bool] = []
    bench.finish = away_again  # type: ignore[method-assign]
    bench.tasks.run(60)
    assert [one[0] for one in bench.ended] == ["c1", "c2"]
    gaps = [later - before for before, later in zip(bench.tries, bench.tries[1:], strict=False)]
    assert max(gaps) == pytest.approx(answers.LAST_PAUSE_S)
    assert gaps[-1] == pytest.approx(answers.FIRST_PAUSE_S)


def test_result_that_does_not_fit_ends_its_command_all_the_same(bench: Bench) -> None:
    bench.fails = [errors.TooLarge("The session is full.")]
    bench.note("c1", {"ok": True, "result": "long"})
    bench.tasks.run(1)
    [(_, ok, result, error)] = bench.ended
    assert (ok, result, json.loads(error)["code"]) == (True, "", "too_large")


@pytest.mark.parametrize(
    "arguments", [[{"ok": True}, 1], [{"ok": "yes"}], [{"ok": None}], [{"result": 1}], [{"ok": 1}]]
)
def test_answer_that_cannot_be_understood_fails_the_command(
    bench: Bench, arguments: list[Any]
) -> None:
    ok, result, error = bench.answers.read_ack(arguments)
    assert (ok, result, json.loads(error)["code"]) == (False, "", "invalid_request")
