"""clients/js: its own unit tests, and types that are those of the documents that a node serves."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.support.clients.js_package import SOURCES, built_package, call

pytestmark = pytest.mark.processes


def test_logic_of_the_package() -> None:
    """`node --test` over clients/js/test."""
    call("node", "--test", "test/", cwd=built_package())


def test_types_are_those_of_this_tree() -> None:
    """Otherwise: python clients/js/generate_types.py."""
    spec = importlib.util.spec_from_file_location(
        "generate_js_types", SOURCES / "generate_types.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    generated: dict[Path, str] = module.modules()
    assert [path.name for path, text in generated.items() if path.read_text() != text] == []
