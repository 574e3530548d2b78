"""What whoever carries on is told holds: files are there, decisions have a status, the program runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.nodes.shared_pair import running_pair

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *ROOT.glob(".github/**/*.md")])
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
#: What a path in running text begins with.
FOLDERS = {
    "benchmarks",
    "deploy",
    "docs",
    "muster",
    "service",
    "tests",
    "workers",
    ".ci",
    ".github",
}
FOLDERS |= {path.name for path in (ROOT / "service").iterdir() if path.is_dir()}


@pytest.mark.parametrize("record", DECISIONS, ids=lambda record: record.name[:4])
def test_decisions_say_whether_they_hold(record: Path) -> None:
    """One of the four words, with a date; a record that holds no more names the one that does."""
    number = int(record.name[:4])
    text = record.read_text()
    head = re.match(r"# (\d+)\. [^\n]+\n\nStatus: ([^\n]+)\n\n", text)
    assert head, "no heading and status"
    assert int(head[1]) == number
    status = re.fullmatch(
        r"(proposed|accepted|withdrawn|superseded by \[decision (\d+)\]\(([\w-]+\.md)\)), "
        r"20\d\d-\d\d-\d\d",
        head[2],
    )
    assert status, head[2]
    if status[2]:
        later = DECISIONS[[one.name for one in DECISIONS].index(status[3])]
        assert later.name.startswith(f"{int(status[2]):04d}-")
        assert int(status[2]) > number


def test_decisions_are_numbered_without_a_gap() -> None:
    """And what cites one, in code or settings, cites one that is there."""
    numbers = [int(record.name[:4]) for record in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    cited = {
        number
        for folder in ("service", "workers", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for number in re.findall(r"docs/decisions/(\d{4})", path.read_text())
    } | set(re.findall(r"docs/decisions/(\d{4})", (ROOT / "pyproject.toml").read_text()))
    assert {int(number) for number in cited} <= set(numbers)


def test_layout_lists_every_layer_the_lowest_first() -> None:
    """As the import contracts have them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (
        one["layers"] for one in contracts["contracts"] if one.get("containers") == ["service"]
    )
    floor = {
        name: number
        for number, layer in enumerate(reversed(layers))
        for name in re.findall(r"\w+", layer)
    }
    (listed,) = re.findall(
        r"(?s)\nservice/\n(.*?)\nworkers/", (DOCS / "architecture.md").read_text()
    )
    rows = re.findall(r"(?m)^  (\w+(?:  \w+)*)/?(?: |$)", listed)
    names = [name for row in rows for name in row.split()]
    assert sorted(names) == sorted([*floor, "web"])
    floors = [floor[name] for name in names if name != "web"]  # which has no modules
    assert floors == sorted(floors)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_a_page_are_there(page: Path) -> None:
    """`folder/file.py` in running text: from the root, or, for what is below it, from service/."""
    for path in re.findall(r"`([\w.-]+/[\w./-]*)`", page.read_text()):
        if path.partition("/")[0] in FOLDERS:
            assert (ROOT / path).exists() or (ROOT / "service" / path).exists(), path


@pytest.mark.processes
def test_frame_is_seen_to_go_through(tmp_path: Path) -> None:
    """The program prints what goes over the wire and what Redis is asked for by it."""
    text = (DOCS / "contributing.md").read_text()
    program = re.search(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert program
    (tmp_path / "frame.py").write_text(program[1])
    with running_pair(tmp_path / "nodes") as pair:
        (tmp_path / "redis.url").write_text(f"{pair.server.url}\n")
        where = (pair.urls[0].removeprefix("http://"), str(tmp_path / "redis.url"))
        done = subprocess.run(
            [sys.executable, str(tmp_path / "frame.py"), *where],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert re.search(r'← 432\[\{"ok":true,"rev":\d+\}\]', done.stdout), done.stderr
    assert re.search(r"redis HSET \S+:session:frame-1 ", done.stdout)
