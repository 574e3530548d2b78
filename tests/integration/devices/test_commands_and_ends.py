"""The devices' door over real nodes, of both async modes: pings, setups, commands, and how devices go."""

from __future__ import annotations

import json

import pytest

from tests.support.clients.clients import RawSocket
from tests.support.clients.device_clients import Connect, state_of
from tests.support.nodes.node_processes import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


def test_ping_is_answered_and_noted(nodes: Cluster, connect: Connect, device_id: str):
    device = connect()
    device.ok("register", {"device_id": device_id})
    ack = device.ok("ping", {"n": 7})
    pong = device.await_event("pong")
    assert pong["n"] == 7
    assert pong["server_time"] == ack["server_time"]
    wait_until(lambda: state_of(nodes, device_id).get("last_ping"), 5)


def test_node_pings_devices_and_takes_their_pong(nodes: Cluster, connect: Connect, device_id: str):
    device = connect()
    device.ok("register", {"device_id": device_id})
    assert device.await_event("ping", 5)["server_time"] > 0
    device.ok("pong", {})
    wait_until(lambda: state_of(nodes, device_id).get("last_ping"), 5)


def test_setup_of_the_device_itself(nodes: Cluster, connect: Connect, device_id: str):
    device = connect()
    device.ok("register", {"device_id": device_id})
    assert device.ok("update_setup", {"setup": {"rate": 5}})["setup_version"] == 1
    assert (
        device.error("update_setup", {"setup": {}, "version": 0})["code"] == "precondition_failed"
    )
    device.ok("update_setup", {"device_id": device_id, "reported_version": 1})

    again = connect(1).ok("register", {"device_id": device_id})
    assert (again["setup"], again["setup_version"]) == ({"rate": 5}, 1)
    details = nodes.store.index.details(device_id)
    assert details is not None
    assert details["in_sync"]


def test_setup_from_a_dashboard_reaches_the_device(connect: Connect, device_id: str):
    device, dashboard = connect(0), connect(1)
    device.ok("register", {"device_id": device_id})
    dashboard.ok("update_setup", {"session_id": device_id, "setup": {"rate": 9}})
    assert device.await_event("setup") == {"setup": {"rate": 9}, "setup_version": 1}


def test_command_is_acked_and_ends_by_result(connect: Connect, device_id: str):
    device = connect(0, answers={"command": lambda payload: None})
    dashboard = connect(1)
    device.ok("register", {"device_id": device_id})
    queued = dashboard.ok(
        "send_command",
        {"device_id": device_id, "command": "blink", "params": {"n": 3}, "wait": "delivered"},
    )
    assert queued["status"] == "delivered"
    command = device.await_event("command")
    assert (command["command"], command["params"]) == ("blink", {"n": 3})

    ended = device.ok(
        "command_result", {"command_id": command["command_id"], "ok": True, "result": [1]}
    )
    assert ended["status"] == "succeeded"
    unknown = device.error("command_result", {"command_id": "f" * 32, "ok": True})
    assert unknown["code"] == "command_not_found"


def test_command_queued_while_away_follows_the_register_ack(
    nodes: Cluster, connect: Connect, device_id: str
):
    """In order, after the ack, on whatever node the device comes back to."""
    dashboard = connect(0)
    connect(0).ok("register", {"device_id": device_id})
    nodes_before = connect(1)
    nodes_before.ok("register", {"device_id": device_id})
    nodes_before.close()
    wait_until(lambda: state_of(nodes, device_id)["state"] == "inactive")
    for n in range(3):
        dashboard.ok("send_command", {"device_id": device_id, "command": f"c{n}"})

    raw = RawSocket(nodes.urls[1])
    raw.send("421" + json.dumps(["register", {"device_id": device_id}]))
    seen = [raw.packet("4") for _ in range(5)]
    assert seen[0].startswith("431[")
    assert seen[1].startswith('42["registered"')
    commands = [json.loads(text[text.index("[") :])[1]["command"] for text in seen[2:]]
    assert commands == ["c0", "c1", "c2"]
    raw.close()


def test_delete_tells_the_device_and_refuses_late_events(
    nodes: Cluster, connect: Connect, device_id: str
):
    device, dashboard = connect(0), connect(1)
    device.ok("register", {"device_id": device_id})
    device.ok("update_data", {"key": "a", "value": 1})
    dashboard.ok("delete_session", {"device_id": device_id})

    assert device.await_event("deleted")["session_id"] == device_id
    device.await_end()
    left = {key.split(":")[2] for key in nodes.redis.scan_iter(f"*{device_id}*")}
    assert left == {"tombstone", "registers"}
    assert nodes.redis.ttl(nodes.keys.tombstone(device_id)) > 0


def test_disconnect_makes_the_session_inactive(nodes: Cluster, device_id: str):
    raw = RawSocket(nodes.urls[0])
    raw.call("register", {"device_id": device_id})
    raw.send("41")
    fields = wait_until(
        lambda: state_of(nodes, device_id).get("state") == "inactive" and state_of(nodes, device_id)
    )
    assert fields["disconnect_reason"] == "client disconnect"
    assert fields["is_connected"] == "0"
    raw.close()


def test_disconnect_right_after_register_leaves_nobody_active(nodes: Cluster, device_id: str):
    """Also when the socket is gone before Redis has answered the register."""
    for n in range(5):
        raw = RawSocket(nodes.urls[0])
        raw.send("42" + json.dumps(["register", {"device_id": f"{device_id}-{n}"}]))
        raw.drop()
    wait_until(
        lambda: all(
            state_of(nodes, f"{device_id}-{n}").get("state", "inactive") == "inactive"
            for n in range(5)
        ),
        10,
    )


def test_a_silent_device_is_seen_as_gone(nodes: Cluster, device_id: str):
    """Within ping_interval_s + ping_timeout_s + 2 s (1 + 2 + 2 here), without a word from it."""
    raw = RawSocket(nodes.urls[0])
    raw.call("register", {"device_id": device_id})
    wait_until(lambda: state_of(nodes, device_id).get("state") == "inactive", 5 + 0.5)
    fields = state_of(nodes, device_id)
    assert fields["disconnect_reason"] in ("ping timeout", "transport close")
    raw.close()


def test_register_too_often_is_flapping(connect: Connect, device_id: str):
    clients = [connect() for _ in range(31)]
    answers = [client.call("register", {"device_id": device_id}) for client in clients]
    refused = [answer["error"] for answer in answers if not answer["ok"]]
    assert [error["code"] for error in refused] == ["flapping"]
    assert 0 < refused[0]["retry_after_s"] <= 10
