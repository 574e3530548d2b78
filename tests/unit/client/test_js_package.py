"""clients/js: its own unit tests, and types that are those of the documents that a node serves."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients.js.js_package import SOURCES, built_package, call

pytestmark = pytest.mark.processes


def module(name: str) -> Any:
    """A script of clients/js, which is no package of Python."""
    spec = importlib.util.spec_from_file_location(f"js_{name}", SOURCES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_logic_of_the_package() -> None:
    """`node --test` over clients/js/test."""
    call("node", "--test", "test/", cwd=built_package())


def test_committed_file_for_pages_is_what_the_build_makes() -> None:
    """Otherwise: make client-js."""
    bundle = module("bundle")
    assert bundle.is_current()
    assert bundle.built(built_package()) == bundle.BUNDLE.read_text()


def test_types_are_those_of_this_tree() -> None:
    """Otherwise: python clients/js/generate_types.py."""
    generated: dict[Path, str] = module("generate_types").modules()
    assert [path.name for path, text in generated.items() if path.read_text() != text] == []
