"""The course of a run: what fails in it, does not end or is not reached is evidence, and nothing stays behind."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import run as module
from chaos.evidence import Evidence
from chaos.faults import clock
from chaos.faults.fault import Fault
from chaos.journal import FaultBegan, FaultEnded
from chaos.plan import Planned
from chaos.run import Run, Size

SMALL = Size(nodes=1, workers=1, devices=2, rivals=1, small_devices=1, choosy=1, editors=1)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path, 1, 0.0, [], SMALL)
    made.system.nodes = [SimpleNamespace(own_port=81)]  # type: ignore[list-item]
    return made


class Clock:
    """Time that passes with every look at it."""

    def __init__(self, step_s: float) -> None:
        self.times = itertools.count(0.0, step_s)

    def monotonic(self) -> float:
        return next(self.times)


def rows(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
    """What the service says of all sessions, one after the other; the last for ever."""
    left = list(answers)

    def ask(port: int) -> Any:
        assert port == 81
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(module, "all_summaries", ask)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None:
        await real(0)

    real = asyncio.sleep
    monkeypatch.setattr(module.asyncio, "sleep", sleep)


async def _is_one(run: Run, within_s: float = 30) -> None:
    await run._until(lambda found: found if len(found) != 1 else [], within_s, "one there")


def test_what_is_not_reached_in_time_is_unfinished(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(monkeypatch, OSError("away"), [{"a": 1}] * 2, [{"a": 1}])
    asyncio.run(_is_one(run))
    assert run.unfinished == []
    rows(monkeypatch, [{"a": 1}] * 5)
    monkeypatch.setattr(module, "time", Clock(10.0))
    asyncio.run(_is_one(run, 35))
    assert run.unfinished == [f"not one there within 35 s: {[{'a': 1}] * 3}"]


def test_people_who_do_not_end_are_unfinished_and_what_fails_in_one_fails_in_the_run(
    run: Run,
) -> None:
    async def end() -> list[Any]:
        people = [SimpleNamespace(name=name, finishing=False) for name in ("quick", "slow")]

        async def slow() -> None:
            await asyncio.Event().wait()

        async def quick() -> None:
            assert [person.finishing for person in people] == [True, True]

        named = {
            one.__name__: asyncio.create_task(one(), name=one.__name__) for one in (quick, slow)
        }
        await run._end(people, named, 0.05)  # type: ignore[arg-type]
        named["slow"].cancel()
        return people

    asyncio.run(end())
    assert run.unfinished == ["slow did not end in 0 s"]

    async def fail() -> None:
        async def broken() -> None:
            raise KeyError("no such thing")

        person: Any = SimpleNamespace(name="broken", finishing=False)
        await run._end([person], {"broken": asyncio.create_task(broken())}, 5)

    with pytest.raises(KeyError, match="no such thing"):
        asyncio.run(fail())


def fault(name: str, do: Callable[..., Any], *, alone: bool = False) -> Planned:
    return Planned(0.0, Fault(name, do, alone=alone), f"chance of {name}")


def test_faults_are_noted_and_one_that_fails_is_unfinished(run: Run) -> None:
    draws: list[float] = []

    async def good(system: Any, chance: Any) -> str:
        assert system is run.system
        draws.append(chance.random())
        return "node 0"

    async def bad(system: Any, chance: Any) -> str:
        raise OSError("no compiler")

    run.plan = [fault("good", good), fault("bad", bad), fault("good", good)]
    asyncio.run(run._cause_faults())
    began = [entry.fault for entry in run.journal.of(FaultBegan)]
    ended = {(entry.fault, entry.target) for entry in run.journal.of(FaultEnded)}
    assert began == ["good", "bad", "good"]
    assert ended == {("good", "node 0"), ("bad", "failed: OSError('no compiler')")}
    assert run.unfinished == ["the fault bad failed: OSError('no compiler')"]
    assert draws[0] == draws[1]


def test_fault_that_is_alone_waits_for_those_at_work_and_is_waited_for(run: Run) -> None:
    seen: list[str] = []

    def slow(name: str, turns: int) -> Callable[..., Any]:
        async def do(system: Any, chance: Any) -> str:
            seen.append(f"{name} begins")
            for _ in range(turns):
                await asyncio.sleep(0)
            seen.append(f"{name} ends")
            return ""

        return do

    run.plan = [
        fault("first", slow("first", 20)),
        fault("alone", slow("alone", 10), alone=True),
        fault("last", slow("last", 1)),
    ]
    asyncio.run(run._cause_faults())
    assert seen == [f"{name} {what}" for name in ("first", "alone", "last") for what in ("begins", "ends")]  # fmt: skip


def test_run_ends_in_the_order_in_which_nothing_is_left_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks ends first, then the commands, the devices, the archiving, and last who looks."""
    seen: list[Any] = []

    async def end(people: Any, named: Any, within_s: float) -> None:
        seen.append(([one.name for one in people], named[people[0].name].get_name(), within_s))

    async def until(left: Callable[[Any], Any], within_s: float, what: str) -> None:
        busy, away = {"open_commands": 1, "state": "active"}, {"open_commands": 0, "state": "archived"}  # fmt: skip
        seen.append((what, within_s))
        if "dashboards" in what:
            assert left == run._shown_otherwise
        else:
            assert left([busy, away]) == left([away, busy]) == [busy]
            assert left([away, away]) == []

    async def finish() -> None:
        people = [*run.devices, *run.dashboards, *run.others]
        tasks = [asyncio.create_task(asyncio.sleep(0), name=person.name) for person in people]
        await run._finish(tasks)

    async def cancel(lost: set[str]) -> None:
        seen.append(lost)

    monkeypatch.setattr(run.operators[0], "cancel_delivered", cancel)
    monkeypatch.setattr(run, "_end", end)
    monkeypatch.setattr(run, "_until", until)
    asyncio.run(finish())
    others, devices, boards = (
        [one.name for one in people] for people in (run.others, run.devices, run.dashboards)
    )
    assert seen == [
        (others, others[0], 60),
        set(),
        ("all commands ended", 120 + clock.LONGEST_S),
        (devices, devices[0], 90 + clock.LONGEST_S),
        ("all sessions archived", 60 + clock.LONGEST_S),
        ("all dashboards up to date", 30),
        (boards, boards[0], 30),
    ]
    assert all(one._stop.is_set() for one in run.dashboards)
    assert len({*others, *devices, *boards}) == len(others) + len(devices) + len(boards)


def test_sessions_that_a_dashboard_shows_otherwise_are_named(run: Run) -> None:
    found = [{"session_id": "a", "state": "archived"}, {"session_id": "b", "state": "active"}]
    assert run._shown_otherwise(found) == []
    run.dashboards[0].view = {"a": {"state": "archived"}, "b": {"state": "active"}}
    run.dashboards[-1].view = {"b": {"state": "active"}}
    assert run._shown_otherwise(found) == []
    run.dashboards[-1].view = {"b": {"state": "inactive"}}
    assert run._shown_otherwise(found) == [
        {"dashboard": run.dashboards[-1].name, "state": "inactive"}
    ]
    run.dashboards[-1].view = {"b": {"state": "active"}, "gone": {"state": "active"}}
    assert len(run._shown_otherwise(found)) == 1


def test_what_is_held_is_looked_at_until_it_is_no_more_than_before_or_half_a_minute_is_over(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [5.0, 3.0, 0.0, 9.0]
    monkeypatch.setattr(module, "held", lambda system: {"node 0": {"devices": left.pop(0)}})
    evidence = Evidence([])
    asyncio.run(run._wait_for_the_rest(evidence, {"node 0": {"devices": 0.0}}))
    assert evidence.leftovers == {"node 0": {"devices": (0.0, 0.0)}}
    assert left == [9.0]
    left[:] = [float(n) for n in range(9, 0, -1)]
    monkeypatch.setattr(module, "time", Clock(11.0))
    asyncio.run(run._wait_for_the_rest(evidence, {"node 0": {"devices": 0.0}}))
    assert evidence.leftovers == {"node 0": {"devices": (0.0, 7.0)}}


def test_second_sigterm_does_not_cut_short_the_end_of_what_was_started(run: Run) -> None:
    seen: list[str] = []

    async def be_ended() -> None:
        run._end_at_sigterm()
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 20)
        finally:
            seen.append("ends")
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append("ended")
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(be_ended())
    assert seen == ["ends", "ended"]
