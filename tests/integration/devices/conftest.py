"""Two nodes in every way in which a node serves, for all tests here, and clients that are closed at the end of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.native import find_native
from tests.conftest import RealServer
from tests.support.clients.clients import Client
from tests.support.clients.device_clients import Connect
from tests.support.nodes.node_processes import SOME_ROADS, Cluster, road


@pytest.fixture(scope="package", params=SOME_ROADS)
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(f"devices-{request.param}")
    server = RealServer(folder)
    server.start()
    cluster = Cluster(
        server,
        folder,
        {
            **road(request.param),
            "node.ping_interval_s": 1,
            "node.ping_timeout_s": 2,
            "sessions.history": {"default": 5, "keys": {}},
            "sessions.max_keys": 20,
            "limits.flapping_registers": 30,
        },
    )
    try:
        cluster.start(2)
        is_native = find_native("auto") is not None and request.param == "eventlet"
        seen = [node.get("/readyz")[1]["checks"]["reader"]["read_by"] for node in cluster.nodes]
        assert seen == ["native" if is_native else "python"] * 2
        yield cluster
        assert cluster.tracebacks() == []
    finally:
        cluster.close()
        server.kill()


@pytest.fixture
def connect(nodes: Cluster) -> Iterator[Connect]:
    made: list[Client] = []

    def make(node: int = 0, **options: Any) -> Client:
        made.append(Client(nodes.urls[node], **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def device_id(key_prefix: str) -> str:
    return f"dev/{key_prefix}:é"
