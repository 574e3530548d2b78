"""The import contracts lock: each forbidden import is added to a copy and refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system.processes import environment

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[1]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

#: Where, what is imported there, and the contract that says no.
FORBIDDEN = [
    ("service/observability/alarms.py", "import flask", "flask is for"),
    ("service/observability/health.py", "from service.cli import options", "Imports of service"),
    ("service/sessions/model.py", "from service.live.feed import feed", "Imports of service"),
    ("service/archive/record.py", "from service.sessions import model", "Imports of service"),
    ("service/archive/record.py", "from service.config import loader", "Rooms receive values"),
    ("service/live/fanout/groups.py", "import redis", "redis is for"),
    ("service/live/fanout/groups.py", "import socketio", "engineio and socketio are for"),
    ("service/sockets/devices.py", "from service.api import mount", "Imports of service"),
    ("service/api/routes/sessions.py", "from service.sockets import devices", "Imports of service"),
    ("service/schema/samples.py", "from service.live.ingest import pending", "Imports of service"),
    ("service/live/feed/scope.py", "from service.live.fanout import groups", "Imports of live"),
    ("service/protocol/frames.py", "import orjson", "The ground and what is sans-io"),
    ("service/manager/setups.py", "import rq", "rq is for"),
    ("service/node/drain.py", "import workers.jobs", "muster shows the service"),
    (
        "service/transport/wheel.py",
        "from service.transport import link",
        "No module imports itself",
    ),
    (
        "service/transport/wheel.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from service.transport import link",
        "No module imports itself",
    ),
    (
        "service/connect.py",
        "def late():\n    from service.manager import manager",
        "Imports of service",
    ),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, to be changed."""
    for package in ("muster", "service", "workers"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("where", "statement", "contract"), FORBIDDEN)
def test_forbidden_import_is_refused(copy: Path, where: str, statement: str, contract: str) -> None:
    file = copy / where
    file.write_text(f"{file.read_text()}\n{statement}\n")
    linted = lint(copy)
    broken = [line for line in linted.stdout.splitlines() if " BROKEN" in line]
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert any(line.startswith(contract) for line in broken), linted.stdout


@pytest.mark.parametrize(
    "module", ["service/new.py", "service/live/new.py", "service/sessions/new.py"]
)
def test_module_without_a_floor_is_refused(copy: Path, module: str) -> None:
    (copy / module).write_text('"""Somewhere."""\n')
    linted = lint(copy)
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert "new" in linted.stdout


def test_imports_as_they_stand_are_allowed(copy: Path) -> None:
    linted = lint(copy)
    assert linted.returncode == 0, linted.stdout + linted.stderr
