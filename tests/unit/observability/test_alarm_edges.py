"""Alarms at their edges: from which figure on, of whom, until when, and in which order they are shown."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.observability.alarms import (
    CLOCK_JUMPED_S,
    MANY_JOBS,
    SHORTEST_TURN_S,
    Alarm,
    AlarmBook,
    Facts,
    decide_alarms,
    late_sweeps,
    sweeps,
)

NOW_MS = 10_000_000
NODE = {"node_id": "n1", "ready": "1", "draining": "0", "uptime_s": "60", "version": "1"}
WORKER = {"worker": "w1", "version": "1", "settings": "s"}
LATE = {"sweeps": json.dumps({"s": 60_000}), "ran_at:s": "0"}


def decided(**facts: Any) -> list[Alarm]:
    given = {"nodes": [], "server": {}, "jobs": {}, "workers": [WORKER], "now_ms": NOW_MS}
    return list(decide_alarms(Facts(**{**given, **facts})))


def names(**facts: Any) -> list[str]:
    return [alarm.name for alarm in decided(**facts)]


def memory(used: int, limit: int = 1000) -> dict[str, int]:
    return {"used_memory_bytes": used, "max_memory_bytes": limit}


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({}, []),
        ({"jobs": {"queued": MANY_JOBS}}, []),
        ({"jobs": {"queued": MANY_JOBS + 1}}, ["jobs_waiting"]),
        ({"jobs": {"failed": 1}}, ["jobs_failed"]),
        ({"nodes": [{**NODE, "version": "2"}]}, ["versions_differ"]),
        ({"nodes": [{**NODE, "settings": "s"}]}, []),
        ({"nodes": [{**NODE, "settings": "other"}]}, ["settings_differ"]),
        ({"server": memory(900)}, []),
        ({"server": memory(901)}, ["redis_memory"]),
        ({"server": memory(901, 0)}, []),
        ({"server": {"eviction_policy": "volatile-ttl"}}, ["redis_evicts"]),
        ({"server": {"eviction_policy": "noeviction"}}, []),
        ({"server": {"aof_enabled": "0"}}, ["redis_forgets"]),
        ({"server": {"aof_enabled": 1}}, []),
        ({"upkeep": LATE}, ["sweeps_late"]),
        ({"upkeep": LATE, "workers": []}, ["no_workers"]),  # one cause, one alarm
    ],
    ids=str,
)
def test_alarm_begins_at_its_figure(facts: dict[str, Any], wanted: list[str]) -> None:
    assert names(**facts) == wanted


@pytest.mark.parametrize("sign", [1, -1])
def test_jump_of_the_clock_is_an_alarm_for_an_hour_by_whatever_clock(sign: int) -> None:
    """Also where the clock went back again, to before the jump."""
    hour_ms = 1000 * CLOCK_JUMPED_S
    upkeep = {"clock_jump_s": "90", "clock_jumped_at": str(NOW_MS - sign * (hour_ms - 1))}
    [alarm] = decided(upkeep=upkeep)
    assert (alarm.name, alarm.message) == ("clock_jumped", "Redis's clock jumped 90 s forward.")
    [alarm] = decided(upkeep={**upkeep, "clock_jump_s": "-90"})
    assert alarm.message == "Redis's clock jumped 90 s back."
    assert names(upkeep={**upkeep, "clock_jumped_at": str(NOW_MS - sign * hour_ms)}) == []


def test_sweep_with_short_turns_has_the_time_of_the_shortest_that_counts() -> None:
    least_ms = int(3 * 1000 * SHORTEST_TURN_S)
    known = {"sweeps": json.dumps({"s": 1_000, "a": 1_000})}
    ran = {**known, "ran_at:s": str(NOW_MS - least_ms), "ran_at:a": str(NOW_MS - least_ms - 1)}
    assert late_sweeps(ran, NOW_MS) == ["a"]
    assert sweeps({**known, "ran_at:s": str(NOW_MS - 500)}, NOW_MS) == [
        {"sweep": "a", "every_s": 1.0, "ran_s_ago": None, "late": True},
        {"sweep": "s", "every_s": 1.0, "ran_s_ago": 0.5, "late": False},
    ]


class Store:
    """What the book asks of the store; `is_full`: Redis takes no more."""

    def __init__(self) -> None:
        self.is_full = False
        self.nodes = [{**NODE, "ready": "0", "node_id": name} for name in ("n1", "n2")]
        self.known: dict[str, dict[str, Any]] = {}
        self.fleet = SimpleNamespace(
            nodes=lambda: self.nodes,
            server=lambda: {"aof_enabled": "0"},
            workers=lambda: [WORKER],
            update_alarms=self._update,
            alarms=lambda: (list(self.known.values()), []),
        )
        self.upkeep = SimpleNamespace(read=dict)

    def now_ms(self) -> int:
        return NOW_MS

    def _update(self, present: dict[str, dict[str, Any]], now_ms: int) -> None:
        if self.is_full:
            raise errors.Overloaded
        for number, (key, alarm) in enumerate(present.items()):
            self.known.setdefault(key, {**alarm, "since": str(now_ms - 10_000 + number)})


def book_of(store: Store) -> AlarmBook:
    jobs = SimpleNamespace(counts=dict)
    return AlarmBook(store, jobs)  # type: ignore[arg-type]


def test_each_node_has_its_alarm_and_the_newest_is_shown_first() -> None:
    shown = book_of(Store()).look()["active"]
    assert [(one["name"], one["subject"]) for one in shown] == [
        *(("redis_forgets", ""), ("node_not_ready", "n2"), ("node_not_ready", "n1"))
    ]
    assert [one["since"] for one in shown] == [
        f"1970-01-01T02:46:30.00{millisecond}Z" for millisecond in (2, 1, 0)
    ]


def test_alarms_are_shown_although_redis_takes_none_of_them() -> None:
    store = Store()
    store.is_full = True
    shown = book_of(store).look()["active"]
    assert [one["name"] for one in shown] == ["node_not_ready", "node_not_ready", "redis_forgets"]
    with pytest.raises(errors.Overloaded):
        book_of(store).update()
