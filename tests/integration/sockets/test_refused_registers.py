"""A device whose register was refused for now is registered by its node: it only has to stand connected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import RealServer
from tests.support.clients.clients import RawSocket
from tests.support.nodes.node_processes import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

LIMIT, WINDOW_S = 3, 2


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("refused")
    server = RealServer(folder)
    server.start()
    settings = {"limits.flapping_registers": LIMIT, "limits.flapping_window_s": WINDOW_S}
    cluster = Cluster(server, folder, settings)
    try:
        cluster.start(1)
        yield cluster
        assert cluster.tracebacks() == []
    finally:
        cluster.close()
        server.kill()


def flap(nodes: Cluster, session_id: str) -> tuple[RawSocket, dict[str, Any]]:
    """A device that was cut as often as it may, and connects once more; its socket and the refusal."""
    for _ in range(LIMIT):
        raw = RawSocket(nodes.urls[0])
        assert raw.call("register", {"device_id": session_id})["ok"]
        raw.drop()
    raw = RawSocket(nodes.urls[0])
    answer = raw.call("register", {"device_id": session_id, "session_name": "old"})
    assert answer["error"]["code"] == "flapping"
    return raw, answer["error"]


def test_device_that_was_flapping_is_registered_without_doing_anything(
    nodes: Cluster, key_prefix: str
) -> None:
    raw, error = flap(nodes, key_prefix)
    assert not raw.call("update_data", {"key": "k", "value": 1})["ok"]
    registered = raw.event("registered")
    assert registered["session_id"] == key_prefix
    row = nodes.store.index.get(key_prefix) or {}
    assert (row["state"], row["sid"], row["session_name"]) == ("active", raw.sid, "old")
    waited_s = (int(row["start_time"]) - int(row["disconnected_at"])) / 1000
    assert waited_s < error["retry_after_s"] + 10
    assert raw.call("update_data", {"key": "k", "value": 1})["ok"]
    raw.close()


def test_device_that_registers_itself_is_not_registered_again(
    nodes: Cluster, key_prefix: str
) -> None:
    """What it was refused with is not repeated over what it said since."""
    raw, _ = flap(nodes, key_prefix)

    def is_registered() -> bool:
        wanted = {"device_id": key_prefix, "session_name": "new"}
        return bool(raw.call("register", wanted)["ok"])

    wait_until(is_registered, 2 * WINDOW_S, every_s=0.02)
    other, _ = flap(nodes, f"{key_prefix}-other")  # whose turn comes after that of the first
    other.event("registered")
    assert (nodes.store.index.get(key_prefix) or {})["session_name"] == "new"
    raw.close()
    other.close()


def test_device_that_came_while_redis_was_away_is_registered_when_it_is_back(
    nodes: Cluster, key_prefix: str
) -> None:
    raw = RawSocket(nodes.urls[0])
    nodes.server.pause()
    try:
        answer = raw.call("register", {"device_id": key_prefix})
        assert answer["error"]["code"] == "store_unavailable"
    finally:
        nodes.server.resume()
    assert raw.event("registered")["session_id"] == key_prefix
    assert raw.call("update_data", {"key": "k", "value": 1})["ok"]
    raw.close()
