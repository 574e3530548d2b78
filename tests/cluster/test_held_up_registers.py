"""Registers that were held up in a paused node, and what the device has done meanwhile; real processes."""

from __future__ import annotations

import json

from tests.support.clients.clients import RawSocket
from tests.support.nodes.node_processes import MakeCluster
from tests.support.waiting import wait_until

#: More than two nodes' measurements of Redis time are apart, on a machine that is busy too.
CERTAIN_S = 2


def test_register_that_a_paused_node_sends_late_does_not_supersede_the_device(
    cluster: MakeCluster,
) -> None:
    """The device lost patience and is on another node: its past is told, not its present."""
    both = cluster(2, sessions__lease_s=30)
    paused, other = both.nodes
    old = RawSocket(paused.url)
    accepted_s = both.redis.time()[0]
    paused.pause()
    try:
        old.send("421" + json.dumps(["register", {"device_id": "d1", "session_name": "old"}]))
        wait_until(
            lambda: both.redis.time()[0] > accepted_s + CERTAIN_S,
            what="the next socket is certainly later",
        )
        new = RawSocket(other.url)
        owner = new.call("register", {"device_id": "d1", "session_name": "new"})
        assert owner["ok"]
    finally:
        paused.resume()
    answer = json.loads(old.packet("431[")[3:])[0]
    assert answer["error"]["code"] == "stale_generation"
    assert old.event("superseded")["session_id"] == "d1"

    assert new.call("update_data", {"key": "a", "value": 1})["ok"]
    row = both.store.index.get("d1") or {}
    assert (row["sid"], row["session_name"]) == (new.sid, "new")
    assert int(row["generation"]) == owner["generation"]
    old.close()
    new.close()
