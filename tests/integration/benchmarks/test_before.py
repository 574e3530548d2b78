"""The earlier version that `make bench` measures: its code from the history, or a line that says what is missing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import building
from benchmarks.servers import before

pytestmark = pytest.mark.processes


def commit(repository: Path, **files: str) -> str:
    """Commit these as all there is; its name."""
    for name in ("service", "config.json"):
        (repository / name).unlink(missing_ok=True)
    for name, text in files.items():
        (repository / name).write_text(text)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    git = ["git", "-C", str(repository), *author]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "a"], check=True)
    named = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return named.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    return path


def test_earlier_version_is_what_it_was_however_far_the_tree_has_gone(
    repository: Path, tmp_path: Path
) -> None:
    then = commit(repository, **{"service": "then", "config.json": "{}"})
    commit(repository, **{"service": "now", "config.json": "{}"})
    tree = tmp_path / "before"
    before.install(tree, repository, then)
    assert (tree / "service").read_text() == "then"
    assert sorted(path.name for path in tree.iterdir()) == ["config.json", "service"]


def test_without_its_history_it_is_left_out_with_a_line(repository: Path, tmp_path: Path) -> None:
    commit(repository, **{"service": "now", "config.json": "{}"})
    with pytest.raises(building.Missing, match=r"^Commit 0123456 is not here: git fetch"):
        before.install(tmp_path / "before", repository, "0123456")
    assert not (tmp_path / "before").exists()
