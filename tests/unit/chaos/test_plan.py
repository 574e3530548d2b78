"""The plan of a run: the seed decides it, and every kind of fault has its turn."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from chaos.faults import ALL
from chaos.journal import Journal
from chaos.people.devices import Device
from chaos.plan import make_plan
from chaos.system import System

FAULTS = list(ALL.values())


def test_same_seed_gives_the_same_faults_at_the_same_times() -> None:
    assert make_plan(5, 300, FAULTS) == make_plan(5, 300, FAULTS)
    assert make_plan(5, 300, FAULTS) != make_plan(6, 300, FAULTS)


def test_longer_run_begins_like_the_shorter_one() -> None:
    short = make_plan(5, 60, FAULTS)
    assert make_plan(5, 300, FAULTS)[: len(short)] == short


def test_every_kind_comes_before_any_comes_again() -> None:
    counts = Counter(planned.fault.name for planned in make_plan(5, 300, FAULTS))
    often = {name: count for name, count in counts.items() if not ALL[name].loses_data}
    assert often.keys() == {name for name, fault in ALL.items() if not fault.loses_data}
    assert max(often.values()) - min(often.values()) <= 1


def test_data_is_lost_once_and_early() -> None:
    """What is sent before a loss is judged less: most of a run has none behind it."""
    for seed in range(20):
        losses = [one.at_s for one in make_plan(seed, 300, FAULTS) if one.fault.loses_data]
        assert len(losses) == 1
        assert 20 <= losses[0] <= 40


def test_intentions_of_people_follow_from_seed_and_name(tmp_path: Path) -> None:
    system = System(tmp_path, nodes=1, workers=1)

    def intends(name: str, seed: int) -> list[float]:
        person = Device(name, "kiosk", seed, system, Journal())
        return [person.chance.random() for _ in range(5)]

    assert intends("a", 1) == intends("a", 1)
    assert intends("a", 1) != intends("a", 2)
    assert intends("a", 1) != intends("b", 1)


def test_tests_named_in_the_track_record_exist() -> None:
    root = Path(__file__).parents[3]
    record = (root / "docs" / "faults.md").read_text().partition("## Track record")[2]
    written = "\n".join(path.read_text() for path in (root / "tests").glob("**/*.py"))
    for named in re.findall(r"`((?:test_|tests/)[^`]+)`", record):
        assert f"def {named}(" in written or (root / named).is_file(), named
