"""The list of mutants is about this tree, and who judges them is not mistaken."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from pathlib import Path

import lupa.lua51
import pytest

from chaos.mutants.mutant import Mutant, load
from chaos.mutants.programs import CLIENT, DASHBOARD, PYTEST, first_failed, programs_of
from chaos.mutants.run import Result, copy_tree, run_all
from service.sessions.store.scripts import SHARED

ROOT = Path(__file__).parents[3]
MUTANTS = load()

#: Of different kinds, and cheap; the others are judged by `make mutants`.
SOME = (
    "drop takes the next claim along",
    "one session ends the comparison",
    "refused claims are kept",
)


def test_every_mutant_has_its_place_and_its_tests_in_this_tree() -> None:
    assert {mutant.name: why for mutant in MUTANTS if (why := mutant.stale(ROOT))} == {}


def test_mutants_are_many_and_each_is_one_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 100
    places = Counter((mutant.file, mutant.text, mutant.becomes) for mutant in MUTANTS)
    assert set(places.values()) == {1}


@functools.cache
def statements(file: str) -> tuple[str, list[tuple[int, int]]]:
    """A file, and where the statements of its module begin and end, decorators included."""
    text = (ROOT / file).read_text()
    nodes = ast.parse(text).body
    begins = [min(one.lineno for one in (node, *getattr(node, "decorator_list", ()))) for node in nodes]  # fmt: skip
    return text, [(begin, node.end_lineno or 0) for begin, node in zip(begins, nodes, strict=True)]


def around(mutant: Mutant) -> str:
    """The statements of the module that a mutant changes: to parse all of a file takes ten times as long."""
    text, spans = statements(mutant.file)
    first = text.count("\n", 0, text.index(mutant.text)) + 1
    last = first + mutant.text.rstrip("\n").count("\n")
    touched = [span for span in spans if span[0] <= last and span[1] >= first]
    lines = text.splitlines(keepends=True)[touched[0][0] - 1 : touched[-1][1]] if touched else []
    found = "".join(lines)
    return found if mutant.text in found else text


def test_every_mutant_is_still_a_program() -> None:
    """One that cannot even be read is noticed by any test."""
    shared = {path: path.read_text() for path in SHARED}
    lua = lupa.lua51.LuaRuntime()
    for mutant in MUTANTS:
        text = (ROOT / mutant.file).read_text().replace(mutant.text, mutant.becomes)
        if mutant.file.endswith(".py"):
            ast.parse(around(mutant).replace(mutant.text, mutant.becomes))
        elif mutant.file.endswith(".lua"):
            mutated = ROOT / mutant.file
            above = "".join((shared | {mutated: text})[path] for path in SHARED)
            script = above if mutated in shared else above + text
            assert lua.globals().loadstring(script), mutant.name


@pytest.mark.processes
@pytest.mark.timeout(180)
def test_some_mutants_whole(tmp_path: Path) -> None:
    mutants = [mutant for mutant in MUTANTS if mutant.name in SOME]
    assert len(mutants) == len(SOME)
    results = run_all(mutants, ROOT, tmp_path, 1, 60, lambda result: None)
    assert {result.mutant.name: result.word for result in results} == dict.fromkeys(SOME, "killed")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of one function and its test."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "code_of.py").write_text("def double(number):\n    return 2 * number\n")
    test = """import logging

import code_of


def test_double():
    logging.error("which is no test that failed")
    assert code_of.double(2) == 4
"""
    (tree / "test_code.py").write_text(test)
    (tree / "test_broken.py").write_text("import nothing_of_the_kind\n")
    return tree


def mutant(becomes: str, text: str = "2 * number", tests: str = "test_code.py") -> Mutant:
    return Mutant(becomes, "code_of.py", text, becomes, "", (tests,), "area")


@pytest.mark.processes
@pytest.mark.timeout(240)
def test_mutant_is_judged_by_its_tests_and_leaves_no_trace(tmp_path: Path, tree: Path) -> None:
    """Killed, survived, stale, or with tests that do not even run."""
    mutants = {
        mutant("3 * number"): "killed",
        mutant("number + number"): "survived",
        mutant("1", text="nowhere"): "stale",
        mutant("number", tests="test_code.py::test_gone"): "stale",
        mutant("number * 1", tests="test_broken.py"): "broken",
    }
    reported: list[Result] = []
    results = run_all([*mutants], tree, tmp_path / "copies", 1, 60, reported.append)
    assert reported == results
    assert [result.word for result in results] == [*mutants.values()]
    assert results[0].detail == "FAILED test_code.py::test_double"
    assert [result.is_killed for result in results] == [True, *[False] * 4]
    assert (tmp_path / "copies/copy-0/code_of.py").read_text() == (tree / "code_of.py").read_text()


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_mutant_that_hangs_is_killed_by_the_timeout(tmp_path: Path, tree: Path) -> None:
    hanging = mutant("__import__('time').sleep(60)")
    (result,) = run_all([hanging], tree, tmp_path / "copies", 1, 3, lambda result: None)
    assert (result.word, result.is_killed) == ("killed by timeout", True)


def test_copy_is_without_what_the_tree_made_itself(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in (".git/x", "a/__pycache__/x", "node_modules/x", "a/code.py"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")
    copy = copy_tree(tree, tmp_path / "copy")
    assert [path.name for path in copy.rglob("*") if path.is_file()] == ["code.py"]


def test_copies_share_the_packages_of_npm_that_the_tree_has(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / CLIENT / "node_modules" / "ws").mkdir(parents=True)
    copy = copy_tree(tree, tmp_path / "copy")
    packages = copy / CLIENT / "node_modules"
    assert packages.is_symlink()
    assert (packages / "ws").is_dir()
    assert not (copy / DASHBOARD).exists()


def test_tests_of_each_language_run_by_their_own_program(tmp_path: Path) -> None:
    of_python = ("tests/unit/test_a.py::test_a", "tests/unit/test_b.py")
    of_client = (f"{CLIENT}/test/a.test.mjs", f"{CLIENT}/test/a.test.mjs")
    of_dashboard = (f"{DASHBOARD}/test/stores/a.test.ts",)
    programs = {
        program.folder.relative_to(tmp_path).as_posix(): program.argv
        for program in programs_of([*of_python, *of_client, *of_dashboard], tmp_path)
    }
    assert programs.keys() == {".", CLIENT, DASHBOARD}
    assert programs["."] == (*PYTEST, *of_python)
    assert programs[CLIENT][-2:] == ("sh", "test/a.test.mjs")
    assert programs[DASHBOARD][-2:] == ("sh", "test/stores/a.test.ts")


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("ERROR in a log\n= short test summary info =\nFAILED a.py::b - c", "FAILED a.py::b"),
        ("= short test summary info =\nERROR a.py::b", "ERROR a.py::b"),
        ("ok 1 - a\n  not ok 2 - b - c\nnot ok 3 - d", "not ok 2 - b - c"),
        (" FAIL  test/a.test.ts > b > c", "FAIL  test/a.test.ts > b > c"),
        ("all is well", ""),
    ],
)
def test_first_test_that_failed_is_named(output: str, line: str) -> None:
    assert first_failed(output) == line
