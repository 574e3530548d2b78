"""Runs the tests of each mutant in a copy of the tree, which has that fault and no other."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import queue
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chaos.mutants.mutant import Mutant
from chaos.mutants.programs import CLIENT, DASHBOARD, Program, first_failed, programs_of

#: What a copy has no use for: what the tree or its tests made, and what is large.
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv", "node_modules", "muster-data", "__pycache__", ".*_cache", ".hypothesis"),
    *("dist", "build"),
)

#: Packages of npm, which all copies use where the tree has them.
PACKAGES = tuple(f"{folder}/node_modules" for folder in (CLIENT, DASHBOARD))


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant.

    Attributes:
        mutant: The mutant.
        word: `killed`, `killed by timeout`, `survived`, `stale` or `broken` (the tests did not run).
        detail: The test that noticed, or what is wrong.
    """

    mutant: Mutant
    word: str
    detail: str = ""

    @property
    def is_killed(self) -> bool:
        """Tell whether a test noticed it."""
        return self.word.startswith("killed")


def run_all(
    mutants: Sequence[Mutant],
    root: Path,
    folder: Path,
    at_once: int,
    timeout_s: float,
    report: Callable[[Result], None],
) -> list[Result]:
    """Run the tests of each mutant, `at_once` mutants at a time.

    Args:
        mutants: Which.
        root: The tree; nothing in it is changed.
        folder: An empty folder for the copies.
        at_once: As many copies are made.
        timeout_s: The most that the tests of one mutant take; a mutant that hangs is noticed.
        report: Is called with each result as soon as it is known.
    """
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for number in range(at_once):
        copies.put(copy_tree(root, folder / f"copy-{number}"))

    def judge(mutant: Mutant) -> Result:
        copy = copies.get()
        try:
            result = _judge(mutant, copy, timeout_s)
        finally:
            copies.put(copy)
        report(result)
        return result

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(judge, mutants))


def copy_tree(root: Path, target: Path) -> Path:
    """Copy what tests need of a tree."""
    shutil.copytree(root, target, ignore=LEFT_OUT, symlinks=True)
    for packages in PACKAGES:
        if (root / packages).exists():
            (target / packages).symlink_to((root / packages).resolve())
    return target


def run_tests(copy: Path, tests: Sequence[str], timeout_s: float) -> tuple[int | None, str]:
    """Run tests in a copy; return the exit code (None: they took too long) and what was printed."""
    code: int | None = 0
    output = ""
    for program in programs_of(tests, copy):
        code, output = _run(program, copy, timeout_s)
        if code != 0:
            break
    return code, output


def _run(program: Program, copy: Path, timeout_s: float) -> tuple[int | None, str]:
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((f"{copy}", f"{copy}/clients/python")),
        "PYTHONDONTWRITEBYTECODE": "",  # what pytest makes of the tests serves all mutants of this copy
    }
    process = subprocess.Popen(
        program.argv,
        cwd=program.folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=30)
        return None, output
    return process.returncode, output


def _judge(mutant: Mutant, copy: Path, timeout_s: float) -> Result:
    if why := mutant.stale(copy):
        return Result(mutant, "stale", why)
    with applied(mutant, copy):
        code, output = run_tests(copy, mutant.tests, timeout_s)
    if code is None:
        return Result(mutant, "killed by timeout", f"after {timeout_s:.0f} s")
    if code == 0:
        return Result(mutant, "survived")
    if code == 1 and "Failed Suites" not in output:  # as vitest says of what cannot even be read
        return Result(mutant, "killed", first_failed(output))
    return Result(mutant, "broken", output[-1500:])


@contextlib.contextmanager
def applied(mutant: Mutant, copy: Path) -> Iterator[None]:
    """Have the fault in a copy for a while."""
    path = copy / mutant.file
    before = path.read_text()
    try:
        _write(path, before.replace(mutant.text, mutant.becomes))
        yield
    finally:
        _write(path, before)


def _write(path: Path, text: str) -> None:
    """Write a file, and have no byte code of it: that tells versions by second and size only."""
    path.write_text(text)
    if path.suffix == ".py":
        Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
