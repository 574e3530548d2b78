"""The last word of a run: what a check finds stands in the report, and makes the exit code 1."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos import __main__ as command
from chaos import evidence as stored
from chaos import report
from chaos.checks import ALL
from chaos.evidence import Evidence
from chaos.faults import ALL as FAULTS
from chaos.journal import Entry, FaultBegan, Journal, Measured, Refused
from chaos.run import Size
from tests.unit.chaos.checks.sound import sound
from tests.unit.chaos.checks.test_checks import PLANTED


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is one: all faults are possible."""
    monkeypatch.setattr(command, "possible_here", lambda: list(FAULTS.values()))


def keep(evidence: Evidence, folder: Path) -> None:
    journal = Journal()
    journal.entries = evidence.entries
    journal.write(folder / stored.JOURNAL)
    evidence.write(folder)


def judged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["chaos", "--seed", "7", "--judge", str(folder)])
    return command.main()


def words(text: str) -> dict[str, str]:
    """What the report says of each promise."""
    return {promise: word for word, promise in re.findall(r"(?m)^(FAILED|holds) +(.+)$", text)}


def test_sound_run_is_reported_so_and_exits_with_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(sound(), tmp_path)
    assert judged(tmp_path, monkeypatch) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("seed 7, 60 s of faults, 1 sessions\n")
    assert words(printed) == dict.fromkeys(ALL, "holds")


@pytest.mark.parametrize("promise", ALL)
def test_any_broken_promise_is_reported_and_exits_with_1(
    promise: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    evidence = sound()
    PLANTED[promise][0](evidence)
    keep(evidence, tmp_path)
    assert judged(tmp_path, monkeypatch) == 1
    printed = capsys.readouterr().out
    found = ALL[promise](evidence)
    assert words(printed)[promise] == "FAILED"
    assert f"FAILED  {promise}\n          {found[0][:400]}\n" in printed + "\n"


def test_error_is_explained_by_the_faults_of_the_run_as_they_are_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = sound()
    evidence.logs["node 0"].append("muster: Redis has gone")
    evidence.explained = ("muster: Redis",)  # of the day on which it was kept
    keep(evidence, tmp_path)
    assert judged(tmp_path, monkeypatch) == 1
    (named,) = [name for name, fault in FAULTS.items() if name == "valkey killed"]
    assert any(re.search(pattern, "muster: Redis has gone") for pattern in FAULTS[named].logged)
    evidence.entries.append(FaultBegan(9.0, named, ""))
    keep(evidence, tmp_path)
    assert judged(tmp_path, monkeypatch) == 0


def test_report_counts_what_there_was_and_shows_ten_findings() -> None:
    evidence = Evidence(
        [
            *(Refused(1.0, "kiosk", "register", code, True) for code in ("a", "b", "b")),
            *(FaultBegan(1.0, name, "") for name in ("y", "x", "x", "x")),
            Measured(2.0, "a node died", 9.0, 8.25, 1.5),
        ],
        summaries={"kiosk": {}, "other": {}},
    )
    ten = [str(n) * 500 for n in range(10)]
    text = report.text(7, 90.0, evidence, {"one": [], "two": ten, "three": [*ten, "x", "y"]})
    lines = text.splitlines()
    assert lines[0] == "seed 7, 90 s of faults, 2 sessions"
    assert "        3  requests refused" in lines
    assert "        0  connections ended" in lines
    assert "refused: a 1, b 2" in lines
    assert "faults: x 3, y 1" in lines
    measured = (
        "8.2  s until it was detected that a node died; promised 9, waited for a processor 1.5"
    )
    assert f"      {measured}" in lines
    assert lines[lines.index("holds   one") :] == [
        "holds   one",
        "FAILED  two",
        *(f"          {one[:400]}" for one in ten),
        "FAILED  three",
        *(f"          {one[:400]}" for one in ten),
        "          … and 2 more",
    ]
    assert "refused: none" in report.text(7, 9.0, Evidence([]), {})
    assert "faults: none" in report.text(7, 9.0, Evidence([]), {})


def test_every_kind_that_is_counted_has_a_name_of_its_own() -> None:
    assert all(issubclass(kind, Entry) for kind in report.COUNTED)
    assert len(set(report.COUNTED.values())) == len(report.COUNTED)


class FakeRun:
    """Takes what a run takes, and was sound or not."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    def __call__(
        self, folder: Path, seed: int, seconds: float, faults: list[Any], size: Size
    ) -> Callable[[], Any]:
        assert folder.is_dir()
        self.asked = (folder, seed, seconds, [fault.name for fault in faults], size)

        async def run() -> Evidence:
            return self.evidence

        return run


def started(monkeypatch: pytest.MonkeyPatch, evidence: Evidence, *words: str) -> tuple[int, Any]:
    run = FakeRun(evidence)
    monkeypatch.setattr(command, "Run", run)
    monkeypatch.setattr(sys, "argv", ["chaos", *words])
    return command.main(), run.asked


def test_run_that_breaks_a_promise_is_kept_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What went wrong once in many hours cannot be looked at again otherwise."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert started(monkeypatch, sound())[0] == 0
    assert list(tmp_path.iterdir()) == []
    broken = sound()
    broken.unfinished.append("not all sessions archived")
    code, (folder, *_) = started(monkeypatch, broken)
    assert code == 1
    assert list(tmp_path.iterdir()) == [folder]
    assert f"Kept in {folder}" in capsys.readouterr().out


def test_run_is_the_one_that_was_asked_for_and_its_findings_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (folder, *asked) = started(monkeypatch, sound())
    assert code == 0
    assert asked == [1, 60.0, list(FAULTS), Size()]
    assert not folder.exists()
    assert "not possible here" not in capsys.readouterr().out
    broken = sound()
    broken.unfinished.append("not all sessions archived")
    sizes = {"--nodes": 5, "--workers": 4, "--devices": 3, "--crowd": 2}
    all_words = [
        str(word) for pair in sizes.items() for word in ("--seed", 9, "--minutes", 0.5, *pair)
    ]
    named = ["--faults", "valkey killed, redis emptied,", "--keep", str(tmp_path)]
    code, (folder, *asked) = started(monkeypatch, broken, *all_words, *named)
    assert (code, folder) == (1, tmp_path)
    size = Size(nodes=5, workers=4, devices=3, crowd=2)
    assert asked[:2] == [9, 30.0]
    assert sorted(asked[2]) == ["redis emptied", "valkey killed"]
    assert asked[3] == size
    assert "seed 9, 30 s of faults" in capsys.readouterr().out


def test_fault_that_there_is_not_is_an_error_and_one_that_cannot_be_caused_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        started(monkeypatch, sound(), "--faults", "valkey killed,earthquake")
    assert ended.value.code == 2
    assert "no such fault: earthquake" in capsys.readouterr().err
    shimmed = [name for name, fault in FAULTS.items() if fault.by_shim]
    rest = [fault for fault in FAULTS.values() if not fault.by_shim]
    monkeypatch.setattr(command, "possible_here", lambda: rest)
    _, asked = started(monkeypatch, sound())
    assert asked[3] == [fault.name for fault in rest]
    assert f": {', '.join(sorted(shimmed))}\n" in capsys.readouterr().out
    _, asked = started(monkeypatch, sound(), "--faults", f"{shimmed[0]},{rest[0].name}")
    assert asked[3] == [rest[0].name]
    assert f": {shimmed[0]}\n" in capsys.readouterr().out
