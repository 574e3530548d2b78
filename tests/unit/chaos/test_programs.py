"""The last word of the fuzzer, of mutants and of simulations: what is wrong is counted, named, and in the exit code."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.evidence import Evidence
from chaos.fuzz import __main__ as fuzzer
from chaos.fuzz.run import MAX_FINDINGS, fuzz
from chaos.fuzz.target import Target
from chaos.mutants import __main__ as mutants
from chaos.mutants import run as judging
from chaos.mutants.mutant import Mutant
from chaos.mutants.run import Result
from chaos.simulation import __main__ as simulation
from chaos.simulation.faults import FAULTS
from chaos.simulation.planted.plant import Plant

Argv = Callable[..., None]


@pytest.fixture
def argv(monkeypatch: pytest.MonkeyPatch) -> Argv:
    return lambda *words: monkeypatch.setattr(sys, "argv", ["program", *words])


# -- the fuzzer -----------------------------------------------------------------------------


def target(bears: Callable[[bytes], bool], seen: list[bytes]) -> Target:
    def run(data: bytes) -> None:
        seen.append(data)
        if not bears(data):
            raise KeyError("no such thing")

    return Target((b"first", b"second"), (b"word",), run)


def test_target_gets_what_is_valid_first_and_then_as_many_inputs_as_were_asked_for() -> None:
    seen: list[bytes] = []
    assert fuzz(1, "x", target(lambda data: True, seen), 50) == []
    assert seen[:2] == [b"first", b"second"]
    assert len(seen) == 52
    again: list[bytes] = []
    other: list[bytes] = []
    assert fuzz(1, "y", target(lambda data: True, again), 50) == []
    assert fuzz(2, "x", target(lambda data: True, other), 50) == []
    assert again != seen != other


def test_input_that_is_not_borne_is_named_and_a_target_that_bears_none_is_left() -> None:
    seen: list[bytes] = []
    (found,) = fuzz(1, "x", target(lambda data: data != b"second", seen), 10)
    assert found.startswith("b'second': KeyError: 'no such thing' (run, line ")
    assert len(seen) == 12
    seen.clear()
    assert len(fuzz(1, "x", target(lambda data: False, seen), 10)) == MAX_FINDINGS == len(seen)


def test_fuzzer_divides_its_inputs_and_exits_with_1_if_any_target_has_findings(
    argv: Argv, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good: list[bytes] = []
    bad: list[bytes] = []
    bears_all, bears_few = (
        target(lambda data: True, good),
        target(lambda data: data == b"first", bad),
    )
    names = {"bad": bears_few, "good": bears_all}
    monkeypatch.setattr(fuzzer, "TARGETS", names)
    argv("--seed", "3", "--inputs", "40")
    assert fuzzer.main() == 1
    printed = capsys.readouterr().out.splitlines()
    lines = [line.split() for line in printed if line[0] != " "]
    assert [line[:2] for line in lines] == [["bad", "20"], ["good", "20"]]
    assert [line[-2:] for line in lines] == [["5", "findings"], ["0", "findings"]]
    assert sum(line.startswith("  b'") for line in printed) == MAX_FINDINGS
    assert len(good) == 22
    argv("--inputs", "40", "good")
    assert fuzzer.main() == 0
    assert len(good) == 22 + 42
    argv("nothing")
    with pytest.raises(SystemExit) as ended:
        fuzzer.main()
    assert ended.value.code == 2


# -- mutants --------------------------------------------------------------------------------


def mutant(name: str, test: str = "tests/test_a.py") -> Mutant:
    return Mutant(name, "a.py", "1", "2", f"{name} holds", (test,), "lua")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What became of each mutant, by word, and what the tests say without one."""
    said: dict[str, Any] = {"words": ["killed", "killed by timeout"], "unchanged": (0, "")}

    def run_all(chosen: Any, root: Path, folder: Path, at_once: int, timeout_s: float, report: Any) -> Any:  # fmt: skip
        said["asked"] = ([one.name for one in chosen], at_once, timeout_s)
        results = [Result(one, word) for one, word in zip(chosen, said["words"], strict=False)]
        for result in results:
            report(result)
        return results

    def run_tests(copy: Path, tests: list[str], timeout_s: float) -> Any:
        said["tests"] = (copy.name, tests, timeout_s)
        return said["unchanged"]

    known = [mutant("one"), mutant("two", "tests/test_b.py")]
    monkeypatch.setattr(mutants, "load", lambda folder: known)
    monkeypatch.setattr(mutants, "run_all", run_all)
    monkeypatch.setattr(mutants, "run_tests", run_tests)
    monkeypatch.setattr(mutants, "copy_tree", lambda root, copy: copy)
    return said


@pytest.mark.parametrize("word", ["survived", "stale", "broken"])
def test_any_mutant_that_no_test_noticed_is_named_and_makes_the_exit_code_1(
    word: str, judged: dict[str, Any], argv: Argv, capsys: pytest.CaptureFixture[str]
) -> None:
    argv("--at-once", "3", "--timeout", "7")
    assert mutants.main() == 0
    assert judged["asked"] == (["one", "two"], 3, 7)
    assert judged["tests"] == ("unchanged", ["tests/test_a.py", "tests/test_b.py"], 120)
    printed = capsys.readouterr().out
    assert "1 killed, 1 killed by timeout" in printed
    assert "holds" not in printed
    for words in (["killed", word], [word, "killed"]):
        judged["words"] = words
        assert mutants.main() == 1
        printed = capsys.readouterr().out
        assert f"1 {word}" in printed
        assert f"a.py: {'two' if words[1] == word else 'one'} holds" in printed
    argv("--only", "two")
    judged["words"] = ["killed"]
    assert mutants.main() == 0
    assert judged["asked"][0] == ["two"]


@pytest.mark.parametrize("code", [1, 2, None])
def test_nothing_is_judged_by_tests_that_fail_without_a_mutant(
    code: int | None, judged: dict[str, Any], argv: Argv
) -> None:
    judged["unchanged"] = (code, "FAILED")
    argv()
    assert mutants.main() == 2
    assert "asked" not in judged


def test_choice_without_a_mutant_is_an_error(judged: dict[str, Any], argv: Argv) -> None:
    argv("--only", "nothing of the kind")
    with pytest.raises(SystemExit) as ended:
        mutants.main()
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("code", "output", "word", "is_killed"),
    [
        (0, "1 passed", "survived", False),
        (1, "FAILED a.py::b", "killed", True),
        (None, "", "killed by timeout", True),
        (2, "errors during collection", "broken", False),
        (4, "no such test", "broken", False),
        (5, "no tests ran", "broken", False),
        (9, "no npm", "broken", False),
        (-11, "", "broken", False),
        (1, "Failed Suites 1", "broken", False),
    ],
)
def test_mutant_is_judged_by_what_its_tests_exit_with(
    code: int | None,
    output: str,
    word: str,
    is_killed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "test_a.py").write_text("")
    seen: list[str] = []

    def run_tests(copy: Path, tests: Any, timeout_s: float) -> tuple[int | None, str]:
        seen.append((copy / "a.py").read_text())
        return code, output

    monkeypatch.setattr(judging, "run_tests", run_tests)
    result = judging._judge(mutant("one", "test_a.py"), tmp_path, 7.0)
    assert (result.word, result.is_killed) == (word, is_killed)
    assert seen == ["2"]
    assert (tmp_path / "a.py").read_text() == "1"


# -- simulations ----------------------------------------------------------------------------


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Simulations by seed: those that fail, and what each was asked."""
    said: dict[str, Any] = {"broken": {}, "asked": []}

    def simulate(seed: int, seconds: float, faults: list[Any]) -> Any:
        said["asked"].append((seed, seconds, [fault.name for fault in faults]))
        findings: dict[str, list[str]] = {"one": [], "two": said["broken"].get(seed, [])}
        return Outcome(seed, findings, 255, 1000, 30.0, 2.0, Evidence([]))

    from chaos.simulation.run import Outcome

    monkeypatch.setattr("chaos.simulation.run.simulate", simulate)
    return said


def test_simulation_exits_with_1_if_any_seed_fails_and_says_how_to_see_it_again(
    simulated: dict[str, Any], argv: Argv, capsys: pytest.CaptureFixture[str]
) -> None:
    argv("--seed", "5", "--seeds", "3", "--seconds", "12")
    assert simulation.main() == 0
    names = [fault.name for fault in FAULTS]
    assert simulated["asked"] == [(seed, 12.0, names) for seed in (5, 6, 7)]
    printed = capsys.readouterr().out
    assert "3 seeds, 0 failed; 90 s in 6 s of a processor (15 ×)" in printed
    assert "FAILED" not in printed
    for failed in (5, 7):
        simulated["broken"] = {failed: ["it is gone"]}
        assert simulation.main() == 1
        printed = capsys.readouterr().out
        assert f"FAILED  seed {failed}, order 000000ff: 1,000 steps, 30.0 s in 2.00 s\n" in printed
        assert printed.count("holds   seed") == 2
        assert "FAILED  two\n          it is gone\n" in printed
        assert f"python -m chaos.simulation --seed {failed} --seconds 12\n" in printed
        assert "3 seeds, 1 failed" in printed


def test_one_seed_is_reported_whole(
    simulated: dict[str, Any], argv: Argv, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [FAULTS[0].name, FAULTS[2].name]
    argv("--faults", ", ".join(two))
    assert simulation.main() == 0
    assert simulated["asked"] == [(1, 18.0, two)]
    assert "holds   one\nholds   two\n" in capsys.readouterr().out
    argv("--faults", "earthquake")
    with pytest.raises(SystemExit) as ended:
        simulation.main()
    assert ended.value.code == 2


def test_plant_is_found_by_its_own_promise_within_its_tries(
    simulated: dict[str, Any],
    argv: Argv,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there: list[str] = []

    @contextlib.contextmanager
    def planted(name: str) -> Iterator[None]:
        there.append(name)
        count = len(simulated["asked"])
        yield
        assert len(simulated["asked"]) == count + 1, "simulated while it is planted, once"
        there.remove(name)

    faults = (FAULTS[1].name, FAULTS[3].name)
    plants = [
        Plant("first", lambda: planted("first"), "one"),
        Plant("second", lambda: planted("second"), "two", faults, seed=5, tries=3),
    ]
    monkeypatch.setattr("chaos.simulation.planted.faults.PLANTED", plants)
    simulated["broken"] = {7: ["it is gone"]}
    argv("--plant", "second", "--seconds", "9")
    assert simulation.main() == 0
    assert capsys.readouterr().out == "found   second: seed 7: it is gone\n"
    assert simulated["asked"] == [(seed, 9.0, list(faults)) for seed in (5, 6, 7)]
    assert there == []
    simulated["broken"] = {8: ["too late"]}
    assert simulation.main() == 1
    assert capsys.readouterr().out == "MISSED  second\n"
    simulated["broken"] = {1: ["of another promise"], 5: ["it is gone"]}
    argv("--plant", "all")
    assert simulation.main() == 1
    assert capsys.readouterr().out == "MISSED  first\nfound   second: seed 5: it is gone\n"
    argv("--plant", "second,third")
    with pytest.raises(SystemExit) as ended:
        simulation.main()
    assert ended.value.code == 2
