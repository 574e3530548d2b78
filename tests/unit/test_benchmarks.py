"""The arithmetic and the report of `make bench`: what it says follows from what was measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import history, picture, report
from benchmarks.__main__ import chosen
from benchmarks.figures import Goal, judge, quantile, ratios, shown, spread
from benchmarks.loads import LOADS, Load
from benchmarks.results import Found, Results, load_results
from benchmarks.servers import MUSTER, NODE_REDIS
from benchmarks.trial import Contestant, figures_of, problems_of, shares


def load_named(name: str) -> Load:
    return next(load for load in LOADS if load.name == name)


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
    ],
)
def test_goal_is_met_up_to_its_bound_and_not_beyond(
    kind: Any, bound: float, ours: list[float], theirs: list[float], is_met: bool
) -> None:
    goal = Goal("CPU", kind, "event_us", bound, "" if kind == "value" else "node")
    verdict = judge(goal, {"muster": {"event_us": ours}, "node": {"event_us": theirs}})
    assert verdict.is_met is is_met
    assert verdict.word == ("met" if is_met else "not met")


def test_goal_is_not_met_by_somebody_who_lost_something() -> None:
    found = Found("2026-11-20", 0.1)
    found.add("muster", {"event_us": 1.0}, ["acks: 9 of 10"])
    assert found.verdict(Goal("CPU", "value", "event_us", 3)).word == "not met"


def test_goal_without_its_peer_is_not_measured() -> None:
    goal = Goal("CPU", "less", "event_us", 2, "node")
    assert judge(goal, {"muster": {"event_us": [1.0]}}).word == "not measured"


def test_samples_are_shared_among_keys_that_take_turns() -> None:
    assert shares(10, 4) == [3, 3, 2, 2]
    assert shares(1, 4) == [1, 0, 0, 0]


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


# -- the loads --


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_goals_and_quick_runs_of_a_load_name_its_contestants(load: Load) -> None:
    names = {contestant.name for contestant in load.contestants}
    assert len(names) == len(load.contestants)
    assert load.quick <= names
    for goal in load.goals:
        assert {goal.contestant, goal.peer or goal.contestant} <= names
    assert set(load.figures) <= set(report.COLUMNS)


def test_quick_run_has_few_contestants_and_named_loads_alone_run() -> None:
    quick = chosen(["saturated", "storm"], quick=True)
    assert [load.name for load in quick] == ["saturated"]
    assert {c.name for c in quick[0].contestants} == quick[0].quick
    assert [load.name for load in chosen(["storm"], quick=False)] == ["storm"]


# -- the report --


@pytest.fixture
def results() -> Results:
    """Two loads of a machine; in one of them a peer is missing and another lost something."""
    saturated = Found("2026-11-20", 0.1)
    for turn in (1.0, 1.2, 1.1):
        saturated.add("muster", {"event_us": 5 * turn, "nodes_event_us": 4, "p50_ms": 9}, [])
        saturated.add("node-batched", {"event_us": 10 * turn}, ["acks: 1 of 2"])
        saturated.add("node-redis", {"event_us": 100 * turn}, [])
    saturated.left_out["asgi"] = "no network"
    idle = Found("2026-11-21", 2.5)
    idle.add("muster", {"connection_kb": 11.0, "connect_us": 500}, [])
    return Results(["a machine"], {"saturated": saturated, "idle": idle})


def test_tables_say_for_every_goal_whether_it_is_met(results: Results) -> None:
    text = report.markdown(results)
    against = (
        r"\| CPU against Node \+ redis-adapter \| ≥ 10 times less \| 20.0 times \| \*\*met\*\* \|"
    )
    assert re.search(against, text)
    assert "| ≤ 7.5 | 11.0 | **not met** |" in text
    assert "| ≤ 1.5 times | – | **not measured** |" in text
    for name in results.loads:
        assert text.count(f"(#{name})") == 1
        assert f"### {name}\n" in text


def test_tables_name_who_was_left_out_and_who_lost_something(results: Results) -> None:
    text = report.markdown(results)
    assert "python-socketio, uvicorn is left out: no network" in text
    assert "Node socket.io with our batching, not all arrived: acks: 1 of 2" in text


def test_row_shows_median_and_range_of_the_rounds(results: Results) -> None:
    rows = report.rows_of(load_named("saturated"), results.loads["saturated"])
    assert rows[1][:2] == ["Muster", "5.50 [5.00–6.00]"]


def test_page_is_changed_between_its_markers_alone(results: Results, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_page(page, results)
    text = page.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n* a machine\n")
    assert text.endswith(f"\n{report.END}\nafter\n")
    assert "old" not in text


def test_picture_has_a_bar_for_each_server_that_ran(results: Results) -> None:
    root = ElementTree.fromstring(picture.draw(results))
    space = "{http://www.w3.org/2000/svg}"
    bars = [float(bar.get("width", "")) for bar in root.findall(f"{space}rect")[1:]]
    assert bars[2] == max(bars) == pytest.approx(20 * bars[0], rel=0.01)
    texts = [text.text for text in root.findall(f"{space}text")]
    assert "Node socket.io, redis-adapter" in texts
    assert "Flask-SocketIO, eventlet" not in texts


def test_fleets_are_sized_by_what_their_events_and_their_rest_cost() -> None:
    rate, idle = Found("2026-11-20", 0.1), Found("2026-11-20", 0.1)
    rate.add("muster", {"nodes_event_us": 50, "redis_event_us": 20, "p50_ms": 3}, [])
    results = Results(["a machine"], {"rate": rate})
    assert "| one sample a second | 20,000 | 50,000 |" in report.markdown(results)
    assert "a minute" not in report.markdown(results)  # what connections cost at rest is not known
    idle.add("muster", {"idle_us_per_s": 4.0}, [])
    results.loads["idle"] = idle
    assert "| one sample a minute | 206,897 |" in report.markdown(results)


def test_history_has_one_entry_for_each_version_of_each_machine(
    results: Results, tmp_path: Path
) -> None:
    path = tmp_path / "history.json"
    history.add(results, "1.0", path)
    results.loads["saturated"].rounds["muster"]["event_us"] = [4.0]
    history.add(results, "1.0", path)
    history.add(results, "1.1", path)
    kept = history.load(path)
    assert [(one["version"], one["figures"]["saturated event_us"]) for one in kept] == [
        ("1.0", 4.0),
        ("1.1", 4.0),
    ]
    assert "1.1" in history.draw(kept)
    ElementTree.fromstring(history.draw(kept))


def test_results_of_another_machine_are_not_mixed_in(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.save(path)
    assert load_results(["a machine"], path) == results
    assert load_results(["another machine"], path).loads == {}
