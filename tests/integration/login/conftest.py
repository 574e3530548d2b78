"""Two nodes with a login, for all tests of roles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients.logins import ORIGIN, nodes_with_login
from tests.support.nodes.node_processes import Cluster
from tests.support.sizes import only_whole


@pytest.fixture(scope="package", params=["eventlet", *only_whole("gevent")])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(f"roles-{request.param}")
    settings = {"node__async_mode": request.param, "auth__allowed_origins": [ORIGIN]}
    with nodes_with_login(folder, **settings) as made:
        yield made
