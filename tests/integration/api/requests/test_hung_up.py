"""Requests that wait, and whose clients do not: real nodes on both hubs."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RealServer
from tests.support.clients.http_wire import HttpWire
from tests.support.nodes.node_processes import Cluster, NodeProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

WAITS = 60
NEW_COMMAND = {"command": "report_now", "wait": "result", "timeout_s": 300}


@pytest.fixture(scope="module", params=["eventlet", "gevent"])
def node(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    real_server: RealServer,
) -> Iterator[NodeProcess]:
    settings = {"node.async_mode": request.param, "redis.key_prefix": f"hung-up-{request.param}"}
    made = Cluster(real_server, tmp_path_factory.mktemp("hung_up"), settings)
    try:
        yield made.start()[0]
        assert made.tracebacks() == []
    finally:
        made.close()


def descriptors(node: NodeProcess, redis_port: int) -> int:
    """How many the node has, but for its connections to Redis, which it keeps."""
    process = Path(f"/proc/{node.process.pid}")
    to_redis = f":{redis_port:04X}"
    lines = [line.split() for line in (process / "net" / "tcp").read_text().splitlines()[1:]]
    kept = {f"socket:[{line[9]}]" for line in lines if line[2].endswith(to_redis)}
    found = 0
    for one in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(one) not in kept
    return found


def ask(node: NodeProcess, path: str, body: object, headers: str = "") -> HttpWire:
    one = HttpWire(node.port)
    headers += "Content-Type: application/json\r\n"
    one.ask("POST", f"/api/v1{path}", json.dumps(body).encode(), headers)
    return one


@pytest.mark.parametrize("end", [HttpWire.close, HttpWire.reset], ids=["closed", "reset"])
def test_waits_for_commands_end_with_their_clients(
    node: NodeProcess, real_server: RealServer, end: object
) -> None:
    one = ask(node, "/sessions", {"session_name": "a"}, "Connection: close\r\n")
    session_id = json.loads(one.answer().body)["session_id"]
    assert one.is_at_end()  # the node has closed it: it is not counted
    one.close()
    before = descriptors(node, real_server.port)
    wires = [ask(node, f"/sessions/{session_id}/commands", NEW_COMMAND) for _ in range(WAITS)]
    wait_until(lambda: descriptors(node, real_server.port) >= before + WAITS, 60, what="all wait")
    for wire in wires:
        end(wire)  # type: ignore[operator]
    wait_until(
        lambda: descriptors(node, real_server.port) <= before, 2, what="the descriptors are back"
    )


def test_waits_for_jobs_end_with_their_clients(node: NodeProcess, real_server: RealServer) -> None:
    """There is no worker, so no job ends."""
    before = descriptors(node, real_server.port)
    wires = [ask(node, "/sessions/cleanup", {}) for _ in range(WAITS)]
    wait_until(lambda: descriptors(node, real_server.port) >= before + WAITS, 60, what="all wait")
    for wire in wires:
        wire.close()
    wait_until(
        lambda: descriptors(node, real_server.port) <= before, 2, what="the descriptors are back"
    )
