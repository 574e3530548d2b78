"""Pages of the docs, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask import Flask

from service import errors
from service.api.mount import mount
from service.api.routes.devices import DeviceRequests

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md")])


def read(page: str) -> str:
    return (DOCS / page).read_text()


def rows(text: str, head: str) -> list[list[str]]:
    """Cells of the tables that begin with this head."""
    found = []
    for table in re.findall(
        rf"^\| {re.escape(head)} .*\n\|[-| ]+\n((?:\|.*\n?)+)", text, re.MULTILINE
    ):
        for line in table.splitlines():
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            found.append([cell.strip() for cell in cells])
    assert found, f"no table {head!r}"
    return found


def code(cell: str) -> str:
    """The first `code` of a cell."""
    match = re.search(r"`([^`]+)`", cell)
    assert match, cell
    return match[1]


def subcommands(command: Any) -> Iterator[Any]:
    yield command
    yield from getattr(command, "commands", {}).values()


def families(error: type[errors.ServiceError]) -> Iterator[type[errors.ServiceError]]:
    for child in error.__subclasses__():
        yield child
        yield from families(child)


def describe_api(version: str = "") -> Any:
    """The OpenAPI document, of an application that nobody calls."""
    nothing: Any = SimpleNamespace(store=SimpleNamespace(index=None, histories=None))
    app = Flask(__name__)
    devices = DeviceRequests(
        *(nothing for _ in range(5)), now_s=float, max_value_bytes=1, max_body_bytes=1
    )
    mount(
        app,
        nothing,
        nothing,
        nothing,
        devices,
        node_id="",
        max_body_bytes=1,
        max_value_bytes=1,
        asyncapi={},
        version=version,
    )
    return app.test_client().get("/api/v1/openapi.json").json
