"""A mutant: one place of the code, what stands there instead, and the tests that must notice."""

from __future__ import annotations

import ast
import dataclasses
import functools
import tomllib
from pathlib import Path

LISTS = Path(__file__).parent / "lists"


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    """An entry of a list.

    Attributes:
        name: Words that no other mutant has.
        file: The file it changes, from the root of the tree.
        text: What stands there exactly once.
        becomes: What stands there instead.
        promise: What the product then does not do any more.
        tests: Ids of tests, of JavaScript their files; at least one of them must fail.
        area: The list that it is in.
    """

    name: str
    file: str
    text: str
    becomes: str
    promise: str
    tests: tuple[str, ...]
    area: str

    def stale(self, root: Path) -> str:
        """Return why it says nothing about this tree, or an empty string."""
        path = root / self.file
        found = path.read_text().count(self.text) if path.is_file() else 0
        if found != 1:
            return f"the text stands {found} times in {self.file}"
        gone = [test for test in self.tests if not _exists(root, test)]
        return f"no such test: {', '.join(gone)}" if gone else "" if self.tests else "no tests"


def load(folder: Path = LISTS) -> list[Mutant]:
    """Return all mutants, in the order of their lists; the area of each is its list's path."""
    mutants = []
    for path in sorted(folder.rglob("*.toml")):
        area = path.relative_to(folder).with_suffix("").as_posix()
        for entry in tomllib.loads(path.read_text())["mutant"]:
            tests = tuple(entry.pop("tests"))
            mutants.append(Mutant(**entry, tests=tests, area=area))
    return mutants


def _exists(root: Path, test: str) -> bool:
    """Tell whether the file has a function of that name; parameters are pytest's to find."""
    file, _, name = test.partition("::")
    path, name = root / file, name.partition("[")[0].rpartition("::")[2]
    return path.is_file() and (not name or name in _functions_in(path))


@functools.cache
def _functions_in(path: Path) -> frozenset[str]:
    """Return the names of all functions of a file of tests, which no mutant changes."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))
