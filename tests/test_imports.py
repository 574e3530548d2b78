"""The import contracts lock: forbidden imports are added to a copy, and each is refused by name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
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
        "service/connect.py",
        "def late():\n    from service.manager import manager",
        "Imports of service",
    ),
]
#: What makes a circle, also where it is never run.
CIRCLES = [
    "from service.transport import link",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from service.transport import link",
]
NEW = ("service/new.py", "service/live/new.py", "service/sessions/new.py")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes copies of the packages and their contracts, to be changed."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("copy")
        for package in ("muster", "service", "workers"):
            shutil.copytree(
                *(ROOT / package, folder / package),
                ignore=shutil.ignore_patterns("__pycache__", "web", "*.so"),
            )
        shutil.copy(ROOT / "pyproject.toml", folder)
        return folder

    return make


def add(file: Path, statement: str) -> None:
    file.write_text(f"{file.read_text()}\n{statement}\n")


def lint(folder: Path) -> tuple[int, str]:
    """Exit code, and all that is said."""
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def refused(copy: Callable[[], Path]) -> str:
    """What is said of a copy that has all of them: a run for each would take a minute."""
    folder = copy()
    for where, statement, _ in FORBIDDEN:
        add(folder / where, statement)
    code, said = lint(folder)
    assert code == 1, said
    return said.partition("Broken contracts")[2]


@pytest.mark.parametrize(("where", "statement", "contract"), FORBIDDEN)
def test_forbidden_import_is_refused(
    refused: str, where: str, statement: str, contract: str
) -> None:
    """By the contract that is meant, which names it."""
    importer = where.removesuffix(".py").replace("/", ".")
    imported = ".".join(re.findall(r"(?:from|import) (\S+)", statement))
    (why,) = re.findall(rf"(?ms)^{contract}[^\n]*\n-+\n(.*?)(?=^[A-Z][^\n]*\n-+\n|\Z)", refused)
    assert re.search(rf"{re.escape(importer)} -> {re.escape(imported)} ", why), refused


@pytest.mark.parametrize("statement", CIRCLES)
def test_circle_is_refused(copy: Callable[[], Path], statement: str) -> None:
    folder = copy()
    add(folder / "service/transport/wheel.py", statement)
    code, said = lint(folder)
    assert code == 1, said
    assert re.search("(?m)^No module imports itself.* BROKEN", said), said


def test_module_without_a_floor_is_refused(copy: Callable[[], Path]) -> None:
    folder = copy()
    for module in NEW:
        (folder / module).write_text('"""Somewhere."""\n')
    code, said = lint(folder)
    assert code == 1, said
    for module in NEW:
        assert f"- {module.removesuffix('.py').replace('/', '.')}\n" in said, said


def test_imports_as_they_stand_are_allowed(copy: Callable[[], Path]) -> None:
    code, said = lint(copy())
    assert code == 0, said
