"""What the version of commit 64db1f4 wrote starts and serves, and gets what was added since: streams, bytes held."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.archive.archive_service import MakeService
from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import NodeProcess
from tests.support.waiting import wait_until

WRITTEN = Path(__file__).parents[1] / "fixtures" / "64db1f4"


def bytes_held(node: NodeProcess, session_id: str) -> Any:
    return node.get(f"/api/v1/sessions/{session_id}")[1]["statistics"]["bytes_held"]


@pytest.mark.parametrize("partitions", [1, 4])
def test_data_of_an_older_version_starts_and_serves(
    service: MakeService, tmp_path: Path, partitions: int
) -> None:
    """Its sessions are there, devices go on where they were, archived ones come back, names stay."""
    written = WRITTEN / f"partitions-{partitions}"
    shutil.copytree(written / "appendonlydir", tmp_path / "cluster-0" / "appendonlydir")
    shutil.copytree(written / "archive", tmp_path / "archive-0")
    expected: dict[str, dict[str, Any]] = json.loads((written / "expected.json").read_text())
    one = service(
        1, redis__partitions=partitions, sessions__ttl_s=0, sessions__archive_after_s=3600 * 24
    )
    [node] = one.cluster.nodes

    for session_id, wanted in expected.items():
        status, shown = node.get(f"/api/v1/sessions/{session_id}")
        assert status == 200
        assert {name: shown[name] for name in wanted} == {
            **wanted,
            "state": "archived" if session_id.startswith("a") else "inactive",
        }
        assert bytes_held(node, session_id) is None, "nobody has counted yet"

    for session_id in expected:
        device = Bare(node.url)
        answer = device.call("register", {"device_id": session_id, "stream": "s1"})
        assert answer["resumed"]
        assert answer["restored"] is session_id.startswith("a")
        assert (answer["last_seq"], answer["setup"]) == (5, {"screen": session_id})
        assert device.call("update_data", {"key": "n", "value": 5, "seq": 5})["ok"]
        assert device.call("update_data", {"key": "n", "value": 6, "seq": 6})["ok"]
        assert device.call("register", {"device_id": session_id, "stream": "s2"})["last_seq"] == 0
        assert device.call("update_data", {"key": "m", "value": 1, "seq": 1})["ok"]
        again = device.call("register", {"device_id": session_id, "stream": "s1"})
        assert again["last_seq"] == 6
        assert bytes_held(node, session_id) > 0
        if session_id.startswith("d"):
            wait_until(lambda d=device: d.events("command"), 10, what="the command that waited")
        details = one.store.index.details(session_id)
        assert details is not None
        assert [value for value, _ in details["data"]["n"]] == [1, 2, 3, 4, 5, 6]
        device.drop()

    meta = one.cluster.redis.hgetall(one.store.keys.meta)
    assert (meta["schema"], meta["partitions"]) == ("2", str(partitions))
    assert "tags" not in meta
    assert one.store.keys.leases(partitions - 1) == f"muster:{{{partitions - 1}}}:leases"
    assert one.cluster.redis.zcard(one.store.keys.leases(partitions - 1)) == 1

    for session_id in expected:  # a session with an open command stays
        for command in node.get(f"/api/v1/sessions/{session_id}/commands")[1]["commands"]:
            one.manager.cancel_command(session_id, command["command_id"])
    one.worker(sessions__archive_after_s=0.1)
    wait_until(lambda: all(one.state(one_id) == "archived" for one_id in expected), 30)
    shown = node.get("/api/v1/sessions/d1")[1]
    assert (shown["state"], shown["telemetry"]["n"]) == ("archived", 6)
    back = Bare(node.url)
    for stream, last_seq in (("s2", 1), ("s1", 6)):
        assert back.call("register", {"device_id": "d1", "stream": stream})["last_seq"] == last_seq
    assert bytes_held(node, "d1") > 0
    back.drop()
    assert one.cluster.tracebacks() == []
