"""The client package runs on Python 3.10, which the service and these tests do not."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "clients" / "python"
FILES = sorted((CLIENT / "muster_client").rglob("*.py"))
OLDEST = (3, 10)

#: What came later, as it stands in code; types that only a type checker reads may be newer.
LATER = {
    *("asyncio.timeout", "asyncio.TaskGroup", "asyncio.Runner", "datetime.UTC", "ExceptionGroup"),
    *("typing.Self", "typing.Unpack", "typing.NotRequired", "enum.StrEnum", "tomllib"),
    # Until 3.10 asyncio raises an error of its own, `asyncio.TimeoutError`, that is none of this name.
    "TimeoutError",
}


def used(tree: ast.AST) -> Iterator[str]:
    """Names and imports of a module that are looked up when it runs."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.ImportFrom):
        yield from (f"{tree.module}.{one.name}" for one in tree.names)
    elif isinstance(tree, ast.Import):
        yield from (one.name for one in tree.names)
    elif isinstance(tree, (ast.Name, ast.Attribute)):
        yield ast.unparse(tree)
    if not (isinstance(tree, ast.Attribute) and isinstance(tree.value, ast.Name)):
        for child in ast.iter_child_nodes(tree):
            yield from used(child)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_newer_than_the_oldest_python_is_used(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=OLDEST)
    assert LATER.isdisjoint(used(tree))


def test_oldest_python_is_the_one_of_the_package_and_of_the_linter() -> None:
    said = f"{OLDEST[0]}.{OLDEST[1]}"
    package = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    assert package["requires-python"] == f">={said}"
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert ruff["per-file-target-version"] == {"clients/python/**": f"py{said.replace('.', '')}"}
