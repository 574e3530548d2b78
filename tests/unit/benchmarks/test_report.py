"""The loads and the report of `make bench`: what it says follows from what was measured."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import PAGE, chosen
from benchmarks.loads.all import LOADS
from benchmarks.loads.load import Load
from benchmarks.report import history, page, picture, tables
from benchmarks.report.results import Found, Results, load_results


def load_named(name: str) -> Load:
    return next(load for load in LOADS if load.name == name)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_goals_and_quick_runs_of_a_load_name_its_contestants(load: Load) -> None:
    names = {contestant.name for contestant in load.contestants}
    assert len(names) == len(load.contestants)
    assert load.quick <= names
    for goal in load.goals:
        assert {goal.contestant, *goal.peers} <= names
    assert set(load.figures) <= set(tables.COLUMNS)


def test_quick_run_has_few_contestants_and_named_loads_alone_run() -> None:
    quick = chosen(["saturated", "storm"], quick=True)
    assert [load.name for load in quick] == ["saturated"]
    assert {c.name for c in quick[0].contestants} == quick[0].quick
    assert [load.name for load in chosen(["storm"], quick=False)] == ["storm"]


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
    text = "\n".join(page.measured(results))
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
    text = "\n".join(page.measured(results))
    assert "python-socketio, uvicorn is left out: no network" in text
    assert "Node socket.io with our batching, not all arrived: acks: 1 of 2" in text


def test_row_shows_median_and_range_of_the_rounds(results: Results) -> None:
    rows = tables.rows_of(load_named("saturated"), results.loads["saturated"])
    assert rows[1][:2] == ["Muster", "5.50 [5.00–6.00]"]


def test_page_is_changed_between_its_markers_alone(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    places = [part for name in page.parts(results) for part in page.markers(name)]
    path.write_text("before\n" + "\nold\nand between\n".join(places) + "\nafter\n")
    page.write_page(path, results)
    text = path.read_text()
    assert text.startswith(f"before\n{places[0]}\n| ms, p50 and p99 | Muster |")
    assert text.endswith(f"\n{places[-1]}\nafter\n")
    assert text.count("old\nand between") == len(places) // 2 - 1
    page.write_page(path, results)
    assert path.read_text() == text


def test_page_without_a_place_for_a_part_is_refused(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("nothing\n")
    with pytest.raises(ValueError, match="felt"):
        page.write_page(path, results)
    assert path.read_text() == "nothing\n"


def test_own_page_has_a_place_for_every_part(results: Results) -> None:
    text = PAGE.read_text()
    for name in page.parts(results):
        begin, end = page.markers(name)
        assert 0 < text.index(begin) < text.index(end)


def test_picture_has_a_bar_for_each_server_that_ran(results: Results) -> None:
    root = ElementTree.fromstring(picture.draw(results))
    space = "{http://www.w3.org/2000/svg}"
    bars = [float(bar.get("width", "")) for bar in root.findall(f"{space}rect")[1:]]
    assert bars[2] == max(bars) == pytest.approx(20 * bars[0], rel=0.01)
    texts = [text.text for text in root.findall(f"{space}text")]
    assert "Node socket.io, redis-adapter" in texts
    assert "Flask-SocketIO, eventlet" not in texts


def test_waiting_is_shown_beside_peers_that_were_measured() -> None:
    calm = Found("2026-11-20", 0.1)
    calm.add("muster", {"p50_ms": 1.5, "p99_ms": 4}, [])
    calm.add("centrifugo", {"p50_ms": 1.25, "p99_ms": 3}, [])
    lines = page.felt(Results(["a machine"], {"calm": calm}))
    assert lines[2] == "| a change, 40 events/s | 1.50 and 4.00 | – | 1.25 and 3.00 |"
    assert lines[3] == "| a change, 4,000 events/s | – | – | – |"


def test_fleets_are_sized_by_what_they_were_measured_to_take() -> None:
    found = Found("2026-11-20", 0.1)
    figures = {"nodes_percent": 40.0, "redis_percent": 10.0, "nodes_mb": 150, "redis_mb": 30}
    for percent in (80.0, 40.0, 1.0):
        found.add("kiosks", {**figures, "nodes_percent": percent, "p50_ms": 2, "p99_ms": 8}, [])
    lines = page.fleets(Results(["a machine"], {"fleets": found}))
    (kiosks,) = (line for line in lines if "kiosks" in line)
    assert kiosks.split(" | ")[1:] == [
        *("40.0 %", "10.0 %", "150 and 30 MB", "2.00 and 8.00 ms", "2,500", "10,000 |")
    ]
    (cars,) = (line for line in lines if "cars" in line)
    assert cars.count("not measured yet") == len(kiosks.split(" | ")) - 1


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


def test_history_keeps_what_was_not_measured_this_time(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    history.add(results, "1.0", path)
    results.loads = {"idle": results.loads["idle"]}
    results.loads["idle"].rounds["muster"]["connection_kb"] = [7.0]
    (kept,) = history.add(results, "1.0", path)
    assert kept["figures"] == {"saturated event_us": 5.5, "idle connection_kb": 7.0}


def test_figures_of_another_machine_are_pale_and_named(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    alone = history.draw(history.add(results, "1.0", path))
    assert history.NOTE not in alone
    assert picture.THEIRS not in alone
    results.machine = ["another machine"]
    both = history.draw(history.add(results, "1.0", path))
    assert history.NOTE in both
    assert both.count(picture.THEIRS) == both.count(picture.OURS) == 2


def test_results_of_another_machine_are_not_mixed_in(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.save(path)
    assert load_results(["a machine"], path) == results
    assert load_results(["another machine"], path).loads == {}
