"""A device that an operator disconnects on another node: it is told, closed, and refused on every node for a while."""

from __future__ import annotations

import time

import pytest
from muster_client import Operator

from tests.support.clients.device_clients import Connect, state_of
from tests.support.nodes.node_processes import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


def test_kicked_device_is_refused_on_every_node_until_its_time_is_over(
    nodes: Cluster, connect: Connect, device_id: str
) -> None:
    device = connect()
    device.ok("register", {"device_id": device_id})
    began = time.monotonic()
    with Operator(nodes.urls[1]) as operator:
        assert operator.disconnect(device_id, retry_after_s=1.5)["disconnected"]
    assert device.await_event("kicked") == {"retry_after_s": 1.5}
    device.await_end()
    assert state_of(nodes, device_id)["state"] == "inactive"

    for node in (0, 1):
        error = connect(node).error("register", {"device_id": device_id})
        assert (error["code"], error["retryable"]) == ("rate_limited", True)
        assert 0 < error["retry_after_s"] <= 1.5
    # one that stays connected is registered by its node when the time is over
    wait_until(lambda: state_of(nodes, device_id).get("is_connected") == "1", 10)
    assert time.monotonic() - began >= 1.5
