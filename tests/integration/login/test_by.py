"""The timeline says who did what, over sockets and REST of two nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clients.logins import ask, device, token, who
from tests.support.nodes.node_processes import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


def test_timeline_names_who_did_what(pair: Cluster, key_prefix: str) -> None:
    name, path = f"by-{key_prefix}", f"/api/v1/sessions/by-{key_prefix}"
    anna, url = token("operator", name="anna"), pair.urls[0]
    kiosk = device(url, name)
    bob = who(pair.urls[1], "operator", name="bob")
    assert ask(pair.nodes[1], "PUT", f"{path}/setup", anna, {"setup": 1})[0] == 200
    command = {"device_id": name, "command": "reboot"}
    command_id = bob.ok("send_command", command)["command_id"]
    wait_until(lambda: [one for one in kiosk.received if one[0] == "command"], 10)
    kiosk.ok("command_result", {"command_id": command_id, "ok": True})
    kiosk.close()

    def timeline() -> list[dict[str, Any]]:
        return list(ask(pair.nodes[1], "GET", f"{path}/timeline", anna)[1]["timeline"])

    wait_until(lambda: timeline()[-1]["event"] == "disconnected", 10)
    assert ask(pair.nodes[0], "POST", f"{path}/disconnect", anna, {"retry_after_s": 0})[0] == 200
    found = [
        (one["event"], one["by"]["who"], one["by"]["role"], one["by"]["via"]) for one in timeline()
    ]
    assert [one for one in found if one[0] != "command_delivered"] == [
        ("created", name, "device", "socket"),
        ("connected", name, "device", "socket"),
        ("setup_changed", "anna", "operator", "rest"),
        ("command_queued", "bob", "operator", "socket"),
        ("command_sent", "", "service", "job"),
        ("command_succeeded", name, "device", "socket"),
        ("disconnected", name, "device", "socket"),
        ("kicked", "anna", "operator", "rest"),
    ]
    assert bob.ok("join_session", {"session_id": name})["active_clients"] == 1
    [client] = ask(pair.nodes[0], "GET", f"{path}/clients", anna)[1]["clients"]
    assert (client["name"], client["node_id"]) == ("bob", pair.nodes[1].node_id)
    assert client["since"].endswith("Z")
    bob.close()
