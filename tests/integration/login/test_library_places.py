"""Places for clients that have not logged in, on the library transport."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RealServer
from tests.support.clients.bare import Bare
from tests.support.clients.logins import LOGIN, token
from tests.support.crowds.soak_strangers import figure
from tests.support.nodes.node_processes import Cluster, NodeProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture(params=["eventlet", "gevent"])
def node(
    request: pytest.FixtureRequest, tmp_path: Path, real_server: RealServer
) -> Iterator[NodeProcess]:
    settings = {
        **LOGIN,
        "node.async_mode": request.param,
        "node.fast_path": False,
        "node.metrics": "public",
        "redis.key_prefix": f"library-places-{request.param}",
        "limits.unauthenticated_per_node": 3,
    }
    cluster = Cluster(real_server, tmp_path, settings)
    try:
        (node,) = cluster.start()
        yield node
        assert cluster.tracebacks() == []
    finally:
        cluster.close()


def test_websocket_that_has_logged_in_takes_no_place_for_its_connection(node: NodeProcess) -> None:
    devices = [
        Bare.device(node.url, f"d-{number}", auth={"token": token("admin")}) for number in range(6)
    ]
    wait_until(
        lambda: figure(node, "muster_unauthenticated ") <= 1,  # the one that asks
        what="no place is taken",
    )
    for device in devices:
        device.close()
