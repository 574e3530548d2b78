"""Dashboards that read sessions and send commands, on two nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clients.dashboards import append, code_of
from tests.support.nodes.nodes import Node
from tests.support.waiting import wait_until


def test_get_sessions_pages_and_filters(node: Node) -> None:
    """Lists come in pages, filtered by the beginning of an id or name, as ack and as event."""
    for n in range(5):
        node.device(f"bus-{n}", project_id="p" if n < 2 else "")
    node.store.ownership.create("tram", "Bus without rubber tyres")
    client = node.client()
    first = client.call("get_active_sessions", {"limit": 4})
    assert (len(first["sessions"]), first["total"]) == (4, 6)
    rest = client.call("get_active_sessions", {"limit": 4, "cursor": first["next"]})
    assert rest["next"] is None
    ids = [one["session_id"] for one in first["sessions"] + rest["sessions"]]
    assert sorted(ids) == [*(f"bus-{n}" for n in range(5)), "tram"]
    [(_, event), _] = client.events("active_sessions")
    assert event == {name: first[name] for name in ("sessions", "next", "total")}
    assert len(client.call("get_active_sessions", {"q": "bus"})["sessions"]) == 6
    assert len(client.call("get_active_sessions", {"project_id": "p"})["sessions"]) == 2
    assert client.call("get_inactive_sessions")["sessions"] == []
    assert client.events("inactive_sessions")[0][1]["total"] == 0
    assert code_of(client.call("get_active_sessions", {"cursor": "%"})) == "invalid_request"
    assert code_of(client.call("get_active_sessions", {"limit": 0})) == "invalid_request"


def test_get_active_session_shows_everything_of_it(node: Node) -> None:
    """Histories, telemetry, setup, statistics; asked for under either name of the field."""
    node.device("d1", session_name="Kiosk")
    append(node.store, 1, "d1", 1, 2)
    node.manager.update_setup("d1", {"a": 1})
    client = node.client()
    session = client.call("get_active_session", {"device_id": "d1"})["session"]
    assert session["data"] == {"speed": [[1, 1.5], [2, 1.5]]}
    assert session["telemetry"] == {"speed": 2}
    assert session["setup"] == {"a": 1}
    assert session["statistics"]["updates"] == 2
    assert isinstance(session["created_at"], float)
    assert client.events("active_session")[0][1]["session"]["session_id"] == "d1"
    assert client.call("get_active_session", {"session_id": "d1"})["ok"]
    assert code_of(client.call("get_inactive_session", {"device_id": "d1"})) == "session_not_found"
    assert code_of(client.call("get_active_session", {"device_id": "?"})) == "session_not_found"
    assert code_of(client.call("get_active_session", {})) == "invalid_request"
    client.emit("get_active_session", {"device_id": "?"})
    assert client.events("service_error")[0][1]["code"] == "session_not_found"


def test_get_active_session_larger_than_a_socket_takes_is_too_large(node: Node) -> None:
    """An answer that would cost the client its connection is refused instead."""
    node.device("d1")
    for number in range(1, 7):
        append(node.store, number, "d1", "x" * 60_000)
    answer = node.client().call("get_active_session", {"device_id": "d1"})
    assert code_of(answer) == "too_large"


# --- commands


def test_send_command_reaches_the_device_on_the_other_node(node: Node, other: Node) -> None:
    """Queued here, sent there, and its fate comes back to the dashboard that watches."""
    device = other.device("d1")
    client = node.client()
    client.call("register_vue", {})
    answer = client.call("send_command", {"device_id": "d1", "command": "go", "params": {"n": 1}})
    assert answer["status"] == "queued"
    [command] = wait_until(device.commands)
    assert command == {
        "command_id": answer["command_id"],
        "command": "go",
        "params": {"n": 1},
        "attempt": 1,
    }
    device.answer(command["command_id"], {"ok": True, "result": {"went": 3}})

    def statuses() -> list[str]:
        return [update["status"] for _, update in client.events("command_update")]

    wait_until(lambda: statuses() == ["queued", "sent", "succeeded"], what="statuses")
    _, last = client.events("command_update")[-1]
    assert last["result"] == {"went": 3}
    assert (last["session_id"], last["command"]) == ("d1", "go")


def test_send_command_wait_for_the_result_holds_up_nothing_else(node: Node, other: Node) -> None:
    """The ack comes with the device's answer; the socket's other events do not wait for it."""
    device = other.device("d1")
    client = node.client()
    wanted = {"device_id": "d1", "command": "go", "wait": "result"}
    number = client.ask("send_command", wanted)
    [command] = wait_until(device.commands)
    assert client.call("get_active_sessions")["ok"]
    assert client.ack(number) is None
    device.answer(command["command_id"], {"ok": False, "error": {"code": "jammed"}})
    answer = wait_until(lambda: client.ack(number))
    assert answer == {
        "ok": True,
        "command_id": command["command_id"],
        "status": "failed",
        "error": {"code": "jammed"},
    }


def test_send_command_wait_for_delivery_ends_with_the_ack(node: Node, other: Node) -> None:
    """A bare ack is a delivery."""
    device = other.device("d1")
    client = node.client()
    number = client.ask("send_command", {"device_id": "d1", "command": "go", "wait": "delivered"})
    [command] = wait_until(device.commands)
    device.answer(command["command_id"])
    answer = wait_until(lambda: client.ack(number))
    assert answer["status"] == "delivered"


def test_send_command_wait_too_long_is_command_timeout_and_goes_on(node: Node) -> None:
    """`timeout_s` ends the wait, not the command."""
    device = node.device("d1")
    client = node.client()
    wanted = {"device_id": "d1", "command": "go", "wait": "result", "timeout_s": 0.05}
    answer = client.call("send_command", wanted)
    assert code_of(answer) == "command_timeout"
    [command] = wait_until(device.commands)
    assert answer["error"]["command_id"] == command["command_id"]
    device.answer(command["command_id"], {"ok": True})
    wait_until(
        lambda: node.manager.get_command("d1", command["command_id"])["status"] == "succeeded"
    )


def test_send_command_offline_is_kept_in_order_unless_it_says_now(node: Node) -> None:
    """Without a connection commands wait; `ttl_s: 0` does not; too many are refused."""
    node.store.ownership.create("d1")
    client = node.client()
    now = client.call("send_command", {"device_id": "d1", "command": "go", "ttl_s": 0})
    assert code_of(now) == "device_offline"
    ids = [
        client.call("send_command", {"device_id": "d1", "command": f"c{n}"})["command_id"]
        for n in range(5)
    ]
    full = client.call("send_command", {"device_id": "d1", "command": "one more"})
    assert code_of(full) == "overloaded" and full["error"]["retryable"]
    device = node.device("d1")
    wait_until(lambda: len(device.commands()) == 5)
    assert [command["command_id"] for command in device.commands()] == ids


def test_send_command_same_idempotency_key_is_one_command(node: Node, other: Node) -> None:
    """Asked twice, on two nodes, done once."""
    node.store.ownership.create("d1")
    wanted = {"device_id": "d1", "command": "go", "idempotency_key": "k"}
    first = node.client().call("send_command", wanted)
    second = other.client().call("send_command", wanted)
    assert first["command_id"] == second["command_id"]
    device = node.device("d1")
    wait_until(device.commands)
    wait_until(lambda: not node.delivery.is_sending("d1"))
    assert len(device.commands()) == 1


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"device_id": "d1"}, "invalid_request"),
        ({"command": "go"}, "invalid_request"),
        ({"device_id": "?", "command": "go"}, "session_not_found"),
        ({"device_id": "d1", "command": ""}, "invalid_request"),
        ({"device_id": "d1", "command": "go", "wait": "ever"}, "invalid_request"),
        ({"device_id": "d1", "command": "go", "ttl_s": -1}, "invalid_request"),
        ({"device_id": "d1", "command": "go", "timeout_s": "1"}, "invalid_request"),
        ({"device_id": "d1", "command": "go", "params": "x" * 70_000}, "too_large"),
        ({"device_id": "d1", "session_id": "d2", "command": "go"}, "invalid_request"),
    ],
)
def test_send_command_bad_payload_is_refused(
    node: Node, payload: dict[str, Any], code: str
) -> None:
    """Nothing of it reaches the device."""
    node.store.ownership.create("d1")
    assert code_of(node.client().call("send_command", payload)) == code
    assert node.store.commands.all("d1") == []


def test_send_command_more_waits_than_a_socket_may_have_is_overloaded(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits are bounded per socket, and one that ended makes room."""
    monkeypatch.setattr("service.sockets.dashboards.MAX_WAITS", 1)
    device = node.device("d1")
    client = node.client()
    wanted = {"device_id": "d1", "command": "go", "wait": "delivered"}
    number = client.ask("send_command", wanted)
    assert code_of(client.call("send_command", wanted)) == "overloaded"
    [command] = wait_until(device.commands)
    device.answer(command["command_id"])
    wait_until(lambda: client.ack(number))
    wait_until(lambda: client.ask("send_command", wanted) and len(device.commands()) > 1)
