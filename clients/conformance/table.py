"""The table of results in docs/clients.md: `python -m clients.conformance.table` writes it.

What is `yes` there is run by the tests; `–` is what an SDK says that it does not have.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from clients.conformance.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- table of clients.conformance -->\n", "<!-- end of the table -->\n"


def adapters() -> dict[str, list[str]]:
    """Return the adapters of this repository: name → command."""
    found: dict[str, list[str]] = json.loads(
        (ROOT / "clients/conformance/adapters.json").read_text()
    )
    return {name: command_of(words) for name, words in found.items()}


def command_of(words: Sequence[str]) -> list[str]:
    """Return a command whose `python` is the one that runs here."""
    return [sys.executable if word == "python" else word for word in words]


def features(command: Sequence[str]) -> frozenset[str]:
    """Return what an adapter says that its SDK has."""
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as adapter:
        assert adapter.stdin is not None
        assert adapter.stdout is not None
        adapter.stdin.write('{"id": 1, "do": "hello"}\n')
        adapter.stdin.flush()
        answer = json.loads(adapter.stdout.readline())
        adapter.kill()
    return frozenset(answer["ok"]["features"])


def table() -> str:
    """Return the table."""
    found = {name: features(command) for name, command in adapters().items()}
    lines = [
        f"| scenario | promise | {' | '.join(found)} |",
        f"|---|---|{'---|' * len(found)}",
    ]
    for one in SCENARIOS.values():
        cells = ["yes" if one.needs <= has else "–" for has in found.values()]
        lines.append(f"| `{one.name}` | {one.promise} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def in_page(page: str) -> str:
    """Return the table as it stands in the page."""
    return page.partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(text.replace(BEGIN + in_page(text) + END, BEGIN + table() + END))
