"""Regular expressions that may see what a client sent take linear time, whatever it is."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.patterns import ROOT, Found, found_in, worst_inputs

#: Of the processor, for one input. A quadratic expression takes half a second.
MOST_S = 0.05
#: Files whose expressions see only what an operator or the code itself wrote.
TRUSTED = {
    "service/api/authentication.py",
    "service/api/openapi.py",
    "service/config/loader.py",
}
FILES = [
    file
    for folder in ("service", "workers")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if "cli" not in file.parts and file.relative_to(ROOT).as_posix() not in TRUSTED
]


def time_of(found: Found, method: str, given: Any) -> float:
    use = getattr(found.pattern, method)
    begun = time.process_time()
    result = use(given[:0], given) if method in ("sub", "subn") else use(given)
    if method == "finditer":
        list(result)
    return time.process_time() - begun


def slowest(found: Found) -> float:
    """Stops at the first input that takes too long."""
    most = 0.0
    for given in worst_inputs(found.pattern):
        for method in found.methods:
            if (taken := time_of(found, method, given)) > MOST_S:
                taken = min(taken, time_of(found, method, given))  # the machine may have been slow
            most = max(most, taken)
            if most > MOST_S:
                return most
    return most


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.relative_to(ROOT).as_posix())
        for file in FILES
        if re.search(r"\bre\.[a-z]+\(", file.read_text())
    ],
)
def test_expressions_take_linear_time_for_their_worst_inputs(file: Path) -> None:
    slow = {found.place: taken for found in found_in(file) if (taken := slowest(found)) >= MOST_S}
    assert slow == {}


@pytest.mark.parametrize(
    ("text", "method"),
    [
        (r"(^|[;\t\r\n])(?=[\s\x00-\x1f]*[=+\-@])", "sub"),
        (r"[a-z]+:[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)", "fullmatch"),
    ],
)
def test_worst_inputs_find_an_expression_that_takes_quadratic_time(text: str, method: str) -> None:
    assert slowest(Found("", re.compile(text), frozenset({method}))) > MOST_S


def test_expressions_are_found() -> None:
    assert sum(len(list(found_in(Path(file)))) for file in FILES) > 25
