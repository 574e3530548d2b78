"""Real nodes over a Valkey of their own: `cluster(nodes=2, **settings)`; `service(…)`: with an archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RealServer
from tests.support.archive.archive_service import MakeService, Service
from tests.support.nodes.node_processes import Cluster, MakeCluster
from tests.support.sizes import only_whole

HERE = "tests/cluster/"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here starts nodes."""
    for item in items:
        if item.nodeid.startswith(HERE):
            item.add_marker(pytest.mark.processes)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is marked `end_to_end` runs on both transports of a node; tests/integration/transport is about them."""
    marked = metafunc.definition.get_closest_marker("end_to_end") is not None
    if marked and "fast_path" in metafunc.fixturenames:
        roads = [True, *only_whole(False)]
        metafunc.parametrize("fast_path", roads, ids=["event-driven", "ordinary"])


@pytest.fixture
def fast_path() -> bool:
    """Whether the nodes of `cluster` take the event-driven road."""
    return True


@pytest.fixture
def cluster(tmp_path: Path, fast_path: bool) -> Iterator[MakeCluster]:
    """Makes clusters; every process is ended at the end of the test.

    `cluster(nodes=2, appendonly="always", sessions__lease_s=2)`: settings with `__` for the dot.
    """
    made: list[Cluster] = []
    servers: list[RealServer] = []

    def make(nodes: int = 2, *, appendonly: str = "always", **settings: Any) -> Cluster:
        folder = tmp_path / f"cluster-{len(made)}"
        server = RealServer(folder, appendonly=appendonly)
        server.start()
        servers.append(server)
        dotted = {name.replace("__", ".", 1): value for name, value in settings.items()}
        made.append(Cluster(server, folder, {"node.fast_path": fast_path, **dotted}))
        made[-1].start(nodes)
        return made[-1]

    yield make
    for one in made:
        one.close()
    for server in servers:
        server.kill()


@pytest.fixture
def service(cluster: MakeCluster, tmp_path: Path) -> Iterator[MakeService]:
    """`service(nodes=2, **settings)`: a cluster with an archive, and workers that sweep often."""
    made: list[Service] = []

    def make(nodes: int = 2, **settings: Any) -> Service:
        root = tmp_path / f"archive-{len(made)}"
        quick = {"workers__sweep_every_s": 0.3, "limits__flapping_registers": 0, **settings}
        made.append(Service(cluster(nodes, archive__url=root.as_uri(), **quick), root))
        return made[-1]

    yield make
    for one in made:
        one.close()
