"""The scenarios of clients/conformance against two nodes, a test each; and what docs/clients.md says of them."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Iterator

import pytest

from clients.conformance.running import NotSupported, Run
from clients.conformance.scenarios import SCENARIOS
from clients.conformance.table import PAGE, adapters, in_page, table
from tests.conftest import RealServer
from tests.support.nodes.conformance_nodes import ConformanceNodes

#: An adapter of somebody else, as a line of a shell.
OTHER = "CONFORMANCE_ADAPTER"
GIVEN = os.environ.get(OTHER)
ADAPTERS = {"other": shlex.split(GIVEN)} if GIVEN else adapters()


@pytest.fixture(scope="module", params=ADAPTERS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """All chosen scenarios, run: most of what each does is waiting, so they do it together."""
    folder = tmp_path_factory.mktemp("conformance")
    server = RealServer(folder / "valkey")
    server.start()
    nodes = ConformanceNodes(server, folder)
    try:
        nodes.restore()
        made = Run(nodes, ADAPTERS[request.param], folder)
        chosen = {
            item.callspec.params["name"]
            for item in request.session.items
            if item.path == request.path
            and "run" in item.fixturenames
            and item.callspec.params["run"] == request.param
        }
        asyncio.run(made.all(one for name, one in SCENARIOS.items() if name in chosen))
        yield made
        assert nodes.tracebacks() == []
    finally:
        nodes.close()
        server.kill()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(run: Run, name: str) -> None:
    outcome = run.outcomes[name]
    if outcome is not None and not isinstance(outcome, NotSupported):
        raise outcome


def test_docs_show_what_every_package_passes() -> None:
    """`python -m clients.conformance.table` writes it."""
    assert len(SCENARIOS) >= 40
    assert in_page(PAGE.read_text()) == table()
