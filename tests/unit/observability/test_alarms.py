"""When an alarm begins, and that it ends."""

from __future__ import annotations

import json

import pytest

from service.observability.alarms import MISSED_TURNS, Facts, decide_alarms, late_sweeps

NOW_MS = 10_000_000
NODE = {"node_id": "n1", "ready": "0", "draining": "0", "uptime_s": "60"}
WORKER = {"worker": "w1"}


def alarms(**facts: object) -> set[str]:
    given = {"nodes": [], "server": {}, "jobs": {}, "workers": [WORKER], "now_ms": NOW_MS, **facts}
    return {alarm.name for alarm in decide_alarms(Facts(**given))}


@pytest.mark.parametrize(
    ("ago_turns", "is_late"),
    [(0, False), (MISSED_TURNS, False), (MISSED_TURNS + 0.01, True), (-1, False), (-1.01, True)],
)
def test_sweep_is_late_after_three_turns_or_when_it_ran_in_the_future(
    ago_turns: float, is_late: bool
) -> None:
    upkeep = {
        "sweeps": json.dumps({"s": 30_000}),
        "ran_at:s": str(NOW_MS - int(ago_turns * 30_000)),
    }
    assert late_sweeps(upkeep, NOW_MS) == (["s"] if is_late else [])
    assert ("sweeps_late" in alarms(upkeep=upkeep)) is is_late


def test_archive_is_failing_until_it_works_again() -> None:
    failed = {"archive_failed_at": "20", "archived_at": "10"}
    assert "archive_failing" in alarms(upkeep=failed)
    assert "archive_failing" not in alarms(upkeep={**failed, "archived_at": "21"})


@pytest.mark.parametrize(
    "change", [{"uptime_s": "9"}, {"draining": "1"}, {"ready": "1"}], ids=lambda one: str(one)
)
def test_node_that_starts_or_drains_is_no_alarm(change: dict[str, str]) -> None:
    assert "node_not_ready" in alarms(nodes=[NODE])
    assert "node_not_ready" not in alarms(nodes=[{**NODE, **change}])
