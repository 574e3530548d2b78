"""Types of the Python client are those of the documents that a node serves."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import get_type_hints

import pytest
from muster_client import event_types, rest_types

from tests.support.system.processes import REPOSITORY

SCRIPT = REPOSITORY / "clients" / "python" / "generate_types.py"


def generated() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("generate_types", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[Path, str] = module.modules()
    return found


@pytest.mark.processes
def test_types_are_those_of_this_tree() -> None:
    """Otherwise: python clients/python/generate_types.py."""
    stale = [path.name for path, text in generated().items() if path.read_text() != text]
    assert stale == []


@pytest.mark.parametrize("module", [event_types, rest_types], ids=lambda module: module.__name__)
def test_every_type_names_types_that_are_there(module: object) -> None:
    declared = [one for one in vars(module).values() if hasattr(one, "__total__")]
    assert len(declared) > 30
    for one in declared:
        get_type_hints(one)
