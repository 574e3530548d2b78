"""The programs that run tests of each language: pytest, Node.js for the JavaScript client, vitest for the dashboard."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PYTEST = (
    *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider"),
    *("--no-header", "--tb=line"),
)
#: Folders with a package.json.
CLIENT, DASHBOARD = "clients/js", "dashboard"
#: What a shell exits with where the tests cannot be run; no test does.
BROKEN = 9
_INSTALL = "[ -e node_modules ] || npm ci --ignore-scripts --no-audit --no-fund --loglevel=error"
#: Types are not checked: what a mutant no longer uses is no fault of its own.
_BUILD = "find src -name '*.ts' | xargs npx --no-install esbuild --outbase=src --outdir=dist/esm --log-level=warning"
_CLIENT = f'{{ {_INSTALL}; }} && {{ {_BUILD}; }} || exit {BROKEN}; exec node --test --test-reporter=tap "$@"'
_DASHBOARD = f'{{ {_INSTALL}; }} || exit {BROKEN}; exec npx --no-install vitest run --bail=1 "$@"'
#: As pytest, vitest and Node.js name a test that failed.
_FAILED = re.compile(r"^ *((?:FAILED|ERROR) .+?(?= - |$)|FAIL .+|not ok .+)", re.MULTILINE)


class Program(NamedTuple):
    """A command line, and the folder it runs in."""

    argv: tuple[str, ...]
    folder: Path


def programs_of(tests: Sequence[str], copy: Path) -> Iterator[Program]:
    """Yield what runs these tests, of whatever languages, in a copy of the tree."""
    for start, script in ((f"{CLIENT}/", _CLIENT), (f"{DASHBOARD}/", _DASHBOARD)):
        files = sorted({file_of(one).removeprefix(start) for one in tests if one.startswith(start)})
        if files:
            yield Program(("sh", "-c", script, "sh", *files), copy / start)
    others = [one for one in tests if not one.startswith((f"{CLIENT}/", f"{DASHBOARD}/"))]
    if others:
        yield Program((*PYTEST, *others), copy)


def first_failed(output: str) -> str:
    """Return the line that names the first test that failed, "" if there is none."""
    summary = output.rpartition("short test summary info")[2]  # of pytest: behind what was logged
    found = _FAILED.search(summary)
    return found[1] if found else ""


def file_of(test: str) -> str:
    """Return the file of a test."""
    return test.partition("::")[0]
