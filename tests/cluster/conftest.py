"""`cluster(nodes=2, **settings)`: real node processes over a Valkey of their own with AOF."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RealServer
from tests.node_processes import Cluster, MakeCluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MakeCluster]:
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
        made.append(Cluster(server, folder, dotted))
        made[-1].start(nodes)
        return made[-1]

    yield make
    for one in made:
        one.close()
    for server in servers:
        server.kill()
