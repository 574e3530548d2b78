"""The arithmetic of `make bench`: what goals, medians and ratios are, and what follows from what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.figures import Goal, judge, quantile, ratios, shown, spread
from benchmarks.report.results import Found
from benchmarks.running.trial import Contestant, figures_of, problems_of
from benchmarks.servers.ours import MUSTER
from benchmarks.servers.peers import NODE_REDIS

# -- arithmetic --


def test_spread_of_rounds_is_median_and_range() -> None:
    assert spread([9.0, 4.0, 5.0]) == (5, 4, 9)


def test_quantile_of_a_hundred_values_leaves_that_part_below() -> None:
    assert quantile([float(n) for n in range(100, 0, -1)], 0.99) == 100
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2


def test_ratio_is_taken_round_by_round_and_not_between_medians() -> None:
    assert ratios([10, 80, 30], [1, 2, 30]) == (10, 1, 40)


@pytest.mark.parametrize(
    ("kind", "bound", "ours", "theirs", "is_met"),
    [
        ("value", 3, [3.0, 9.0, 1.0], [1.0] * 3, True),
        ("value", 3, [3.1, 9.0, 1.0], [1.0] * 3, False),
        ("less", 10, [1.0, 1.0, 1.0], [10.0, 20.0, 5.0], True),
        ("less", 10, [1.0, 1.0, 1.0], [9.0, 20.0, 5.0], False),
        ("more", 1.5, [1.5, 2.0, 1.0], [1.0] * 3, True),
        ("more", 1.5, [1.6, 2.0, 1.0], [1.0] * 3, False),
        ("beside", 1.25, [1.2, 1.2, 1.2], [1.0] * 3, True),
        ("beside", 1.25, [0.7, 0.7, 0.7], [1.0] * 3, False),
        ("beside", 1.25, [1.3, 1.3, 1.3], [1.0] * 3, False),
        ("least", 0.5, [0.5, 0.1, 0.9], [1.0] * 3, True),
        ("least", 0.5, [0.4, 0.1, 0.9], [1.0] * 3, False),
    ],
)
def test_goal_is_met_up_to_its_bound_and_not_beyond(
    kind: Any, bound: float, ours: list[float], theirs: list[float], is_met: bool
) -> None:
    goal = Goal("CPU", kind, "event_us", bound, () if kind in ("value", "least") else ("node",))
    verdict = judge(goal, {"muster": {"event_us": ours}, "node": {"event_us": theirs}})
    assert verdict.is_met is is_met
    assert verdict.word == ("met" if is_met else "not met")


def test_goal_against_several_counts_the_best_of_each_round_that_ran() -> None:
    goal = Goal("CPU", "less", "event_us", 2, ("node", "bun", "left out"))
    rounds = {"muster": {"event_us": [1.0, 1.0, 1.0]}}
    rounds |= {"node": {"event_us": [2.0, 9.0, 9.0]}, "bun": {"event_us": [9.0, 3.0, 1.0]}}
    assert judge(goal, rounds).found == (2, 1, 3)


def test_goal_is_not_met_by_somebody_who_lost_something() -> None:
    found = Found("2026-11-20", 0.1)
    found.add("muster", {"event_us": 1.0}, ["acks: 9 of 10"])
    assert found.verdict(Goal("CPU", "value", "event_us", 3)).word == "not met"


def test_goal_without_its_peer_is_not_measured() -> None:
    goal = Goal("CPU", "less", "event_us", 2, ("node",))
    assert judge(goal, {"muster": {"event_us": [1.0]}}).word == "not measured"


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (78.94, "78.9"), (4.561, "4.56"), (0.1234, "0.123")]
)
def test_shown_figure_has_three_digits_that_say_something(value: float, text: str) -> None:
    assert shown(value) == text


# -- what the generator printed --


def printed(**more: Any) -> dict[str, Any]:
    """A stream of 1,000 events of 2 samples to 3 dashboards, in 2 s."""
    processes = {
        "front": {"cpu_us": 5_000, "memory_kb": 1, "memory_grown_kb": 1},
        "back": {"cpu_us": 3_000, "memory_kb": 1, "memory_grown_kb": 1},
        "redis": {"cpu_us": 1_000, "memory_kb": 1, "memory_grown_kb": 1},
    }
    found = {"mode": "stream", "seconds": 2.0, "events": 1000, "samples": 2000, "delivered": 6000}
    found |= {"p50_ms": 1.0, "p99_ms": 2.0, "generator_us": 500, "processes": processes}
    found |= {"baseline_us_per_s": {"front": 0, "back": 500}, "failed": 0, "errors": 0}
    found |= {"dashboards": 3, "complete_dashboards": 3, "acks": 100, "expected_acks": 100}
    return found | more


def test_figures_of_a_stream_are_per_event_sample_and_delivered_sample() -> None:
    pair = Contestant(MUSTER, ("front", "back"), ("front",), ("back",))
    figures = figures_of(printed(), pair)
    assert figures["event_us"] == 9  # of both nodes and of Redis
    assert (figures["nodes_event_us"], figures["redis_event_us"]) == (8, 1)
    assert (figures["sample_us"], figures["redis_sample_us"]) == (4.5, 0.5)
    assert figures["events_per_s"] == 500
    assert figures["nodes_delivered_us"] == 0.5  # of the node with the dashboards alone
    assert figures["delivered_us"] == pytest.approx(4 / 6)  # and of Redis
    assert figures["front_us"] == 5
    assert figures["back_us"] == 2  # less what it uses at rest


def test_figures_of_idle_connections_are_per_connection() -> None:
    processes = {"node": {"cpu_us": 4_000, "memory_grown_kb": 70}, "redis": {"cpu_us": 1_000}}
    found = printed(mode="idle", connections=10, processes=processes)
    found["baseline_us_per_s"] = {"node": 20, "redis": 5}
    figures = figures_of(found, Contestant(NODE_REDIS))
    assert (figures["connection_kb"], figures["connect_us"]) == (7, 500)
    assert (figures["nodes_connect_us"], figures["redis_connect_us"]) == (400, 100)
    assert figures["idle_us_per_s"] == 2.5


def test_run_in_which_everything_arrived_has_no_problems() -> None:
    assert problems_of(printed()) == []


@pytest.mark.parametrize(
    "found",
    [
        {"complete_dashboards": 2},
        {"acks": 99},
        {"errors": 1},
        {"failed": 1},
        {"conflated": 1},
        {"connections": 5, "registered": 4},
        {"commands": 5, "answered": 4, "acted": 5},
    ],
)
def test_run_that_lost_something_has_a_problem(found: dict[str, int]) -> None:
    assert len(problems_of(printed(**found))) == 1
