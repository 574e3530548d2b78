"""What a test leaves open is the fault of its file, in each run, and of no test behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system.processes import REPOSITORY

pytestmark = pytest.mark.processes

LEAVES = """
import socket

def test_leaves():
    circle = [socket.create_server(("127.0.0.1", 0))]
    circle.append(circle)

def test_another():
    pass
"""
HARMLESS = """
import gc

def test_innocent():
    gc.collect()
"""


@pytest.mark.parametrize(
    ("options", "named"),
    [([], "test_a.py leaves behind"), (["--name-leaks"], "test_a.py::test_leaves leaves behind")],
    ids=["file", "test"],
)
def test_what_was_not_closed_is_named_with_its_file(
    tmp_path: Path, options: list[str], named: str
) -> None:
    (tmp_path / "test_a.py").write_text(LEAVES)
    (tmp_path / "test_b.py").write_text(HARMLESS)
    own = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", *own, "-c", "pyproject.toml", *options),
            *("--rootdir", str(tmp_path), "--basetemp", str(tmp_path / "run"), str(tmp_path)),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert f"{named}: unclosed <socket" in done.stdout, done.stdout
    assert "3 passed, 1 error" in done.stdout
