"""What a worker's watch does each second: all partitions, all that is there, and who waits is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.config.settings import MemorySettings
from service.sessions.model import Expiry
from workers import memory
from workers.archive import Outcome
from workers.memory import Reading
from workers.watch import MAX_CALLS, Watch


def watch_over(found: dict[int, list[Expiry]]) -> tuple[Watch, list[str]]:
    told: list[str] = []
    manager: Any = SimpleNamespace(
        store=SimpleNamespace(
            keys=SimpleNamespace(partitions=len(found)),
            ownership=SimpleNamespace(expire=lambda partition: found[partition].pop(0)),
        ),
        notify_waiters=told.extend,
    )
    none: Any = None
    return Watch(lambda: manager, none, none, none, none), told


def expiry(sessions: int, *commands: str, more: bool = False) -> Expiry:
    return Expiry("ok", sessions, list(commands), more)  # type: ignore[arg-type]


def test_dead_nodes_are_let_go_in_every_partition_until_there_is_no_more() -> None:
    found = {
        0: [expiry(500, "a", more=True), expiry(500, more=True), expiry(3, "b")],
        1: [expiry(1, "c")],
    }
    watch, told = watch_over(found)
    assert watch.expire() == 1_004
    assert told == ["a", "b", "c"]
    assert found == {0: [], 1: []}


def test_one_partition_does_not_hold_up_all_else_for_ever() -> None:
    found = {0: [expiry(1, more=True) for _ in range(MAX_CALLS + 5)], 1: [expiry(1)]}
    watch, _ = watch_over(found)
    assert watch.expire() == MAX_CALLS + 1
    assert (len(found[0]), found[1]) == (5, [])


def test_relief_of_memory_is_counted_and_every_node_is_told() -> None:
    counted: list[tuple[dict[str, int], dict[str, int]]] = []
    told: list[str] = []
    manager: Any = SimpleNamespace(
        store=SimpleNamespace(
            now_ms=lambda: 7,
            upkeep=SimpleNamespace(count=lambda more, **at: counted.append((more, at))),
            fleet=SimpleNamespace(nodes=lambda: [{"node_id": "a"}, {"node_id": "b"}]),
        ),
        messages=SimpleNamespace(notify=lambda node_id, topic, data: told.append(node_id)),
    )
    memory.report(manager, Outcome(archived=3), Reading(1.0, None), Reading(9.0, None))
    assert counted == [({"relieved": 3}, {"relieved_at": 7})]
    assert told == ["a", "b"]

    def full(*_: object) -> None:
        raise errors.Overloaded

    manager.messages.notify = full
    memory.report(manager, Outcome(archived=1), Reading(1.0, None), Reading(9.0, None))
    assert len(counted) == 2  # that nobody can be told is no failure


def test_relief_goes_on_until_it_is_enough_and_says_what_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store: Any = SimpleNamespace(
        now_ms=lambda: 0,
        upkeep=SimpleNamespace(longest_unused=lambda before, batch: iter(map(str, range(10_000)))),
    )
    sizes: list[int] = []

    def archive_all(archiver: object, ids: Any, batch: int, is_over: object) -> Outcome:
        sizes.append(len(list(ids)))
        return Outcome(archived=sizes[-1] - 1, left={"busy": 1})

    monkeypatch.setattr(memory, "archive_all", archive_all)
    readings = iter([4.0, 5.0, 6.0, 8.0, 99.0])
    outcome, before, after = memory.relieve(
        SimpleNamespace(store=store),  # type: ignore[arg-type]
        MemorySettings(min_available_percent=5),
        lambda: False,
        lambda _: Reading(next(readings), None),
        batch=8,
    )
    assert sizes == [8, 16, 32]
    assert (outcome.archived, outcome.left) == (sum(sizes) - 3, {"busy": 3})
    assert (before.available_percent, after.available_percent) == (4.0, 8.0)
