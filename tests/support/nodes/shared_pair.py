"""Two nodes that all tests of a module share, where none of them harms the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import RealServer
from tests.support.nodes.node_processes import Cluster


@contextmanager
def running_pair(folder: Path, **settings: Any) -> Iterator[Cluster]:
    """Two nodes over a server of their own, which must not have logged a defect in the end.

    Args:
        folder: For logs and data.
        settings: `group.key` → value.
    """
    server = RealServer(folder)
    server.start()
    made = Cluster(server, folder, settings)
    try:
        made.start(2)
        yield made
        assert made.tracebacks() == []
    finally:
        made.close()
        server.kill()
