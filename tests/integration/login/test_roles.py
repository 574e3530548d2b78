"""Every event with every role, and tokens at the door, against nodes that have a login, in both async modes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.security.permissions import EVENTS, ROLES
from tests.support.clients.logins import device, refusal, token, who
from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.nodes.node_processes import Cluster

pytestmark = pytest.mark.processes


#: A payload that is right in form for each event about session {id}.
PAYLOADS: dict[str, Any] = {
    "register": {"device_id": "{id}"},
    "update_data": {"key": "a", "value": 1},
    "update_telemetry": {"telemetry": {"a": 1}},
    "update_setup": {"session_id": "{id}", "setup": {"a": 1}},
    "ping": {},
    "pong": {},
    "command_result": {"command_id": "none", "ok": True},
    "register_vue": {},
    "get_active_sessions": {},
    "get_inactive_sessions": {},
    "get_active_session": {"device_id": "{id}"},
    "get_inactive_session": {"device_id": "{id}"},
    "get_data": {"session_id": "{id}", "keys": ["a"]},
    "send_command": {"device_id": "{id}", "command": "x"},
    "delete_session": {"device_id": "{id}"},
    "join_session": {"session_id": "{id}"},
    "leave_session": {"session_id": "{id}"},
    "undo_setup": {"session_id": "{id}"},
    "redo_setup": {"session_id": "{id}"},
}

#: What the handler itself says to a role that may: it was reached.
REACHED = {
    "session_not_found",
    "command_not_found",
    "not_registered",
    "conflict",
    "precondition_failed",
}


def filled(value: Any, session_id: str) -> Any:
    return json.loads(json.dumps(value).replace("{id}", session_id))


def test_every_event_has_a_payload_here() -> None:
    assert PAYLOADS.keys() == EVENTS.keys()


@pytest.mark.parametrize("role", ROLES)
def test_every_event_is_refused_to_roles_that_do_not_stand_in_its_row(
    pair: Cluster, role: str
) -> None:
    claims = {"device": "walker"} if role == "device" else {}
    other = device(pair.urls[1], f"target-{role}")
    for event, right in EVENTS.items():
        socket = who(pair.urls[0], role, **claims)
        target = "walker" if role == "device" else f"target-{role}"
        answer = socket.call(event, filled(PAYLOADS[event], target))
        if role in right.roles:
            assert answer["ok"] or answer["error"]["code"] in REACHED, (event, answer)
        else:
            assert not answer["ok"], (event, answer)
            assert answer["error"]["code"] == "not_allowed", (event, answer)
        socket.close()
    other.close()


@pytest.mark.parametrize("role", ROLES)
def test_every_event_is_refused_over_polling_as_well(pair: Cluster, role: str) -> None:
    claims = {"device": "poller"} if role == "device" else {}
    target = "poller" if role == "device" else f"polled-{role}"
    other = device(pair.urls[1], f"polled-{role}")
    for event, right in EVENTS.items():
        socket = RawPolling(pair.nodes[0].port, auth={"token": token(role, **claims)})
        answer = socket.call(event, filled(PAYLOADS[event], target))
        reached = answer["ok"] or answer["error"]["code"] in REACHED
        assert reached if role in right.roles else answer["error"]["code"] == "not_allowed", event
        socket.post("41")
    other.close()


def test_polling_without_a_token_is_refused(pair: Cluster) -> None:
    for auth in ("", "{}", json.dumps({"token": "a.b.c"})):
        socket = RawPolling(pair.nodes[0].port, connect=False)
        socket.post("40" + auth, '421["get_active_sessions",{}]')
        told = [socket.receive(), socket.receive()]
        assert all(packet.startswith("44") for packet in told), told


def test_second_connect_of_a_socket_changes_no_role(pair: Cluster) -> None:
    socket = RawWebsocket(pair.nodes[0].port, connect=False)
    socket.send("40/other," + json.dumps({"token": token("admin")}))
    assert socket.receive().startswith("44")
    socket.send("40" + json.dumps({"token": token("viewer")}))
    assert socket.receive().startswith("40")
    socket.send("40" + json.dumps({"token": token("admin")}))
    assert socket.error()["code"] == "invalid_request"
    for sent in ("42", "42/other,"):
        socket.send(f'{sent}7["delete_session",{{"device_id":"x"}}]')
        assert socket.answer(7)["error"]["code"] in ("not_allowed", "invalid_request")
    socket.close()


def test_unknown_event_is_no_event_to_any_role(pair: Cluster) -> None:
    socket = who(pair.urls[0], "viewer")
    for name in ("connect", "disconnect", "message", "register_vue2", "__class__"):
        assert socket.call(name)["error"]["code"] == "invalid_request"
    socket.close()


# -- tokens at the door


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        (None, "has a login"),
        ({}, "has a login"),
        ({"token": None}, "has a login"),
        ({"token": ""}, "is a text"),
        ({"token": 5}, "is a text"),
        ({"token": ["a"]}, "is a text"),
        (["x"], "has a login"),
        ({"token": "a.b.c"}, "not one of this service"),
        ({"token": "x" * 9000}, "at most"),
    ],
)
def test_connect_without_a_good_token_gets_a_clear_connect_error(
    pair: Cluster, auth: Any, words: str
) -> None:
    error = refusal(pair.urls[0], auth)
    assert error["code"] == "not_authenticated"
    assert words in error["message"]
    assert not error["retryable"]


def test_refused_connection_may_try_again_with_a_good_token(pair: Cluster) -> None:
    import websocket

    line = websocket.create_connection(
        pair.urls[0].replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket", timeout=20
    )
    line.recv()
    line.send("40")
    assert line.recv().startswith("44")
    line.send("40" + json.dumps({"token": token("viewer")}))
    assert line.recv().startswith("40")
    line.close()


def test_event_before_the_connect_is_nobodys(pair: Cluster) -> None:
    import websocket

    line = websocket.create_connection(
        pair.urls[0].replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket", timeout=20
    )
    line.recv()
    line.send('420["get_active_sessions",{}]')
    assert line.recv().startswith("44")
    line.close()


def test_header_at_the_handshake_is_as_good_as_auth(pair: Cluster) -> None:
    import websocket

    line = websocket.create_connection(
        pair.urls[0].replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket",
        timeout=60,
        header=[f"Authorization: Bearer {token('viewer')}"],
    )
    line.recv()
    line.send("40")
    assert line.recv().startswith("40")
    line.close()


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]])
def test_python_client_of_either_transport_is_let_in_and_told_why_not(
    pair: Cluster, transports: list[str]
) -> None:
    import socketio

    told: list[Any] = []
    left: list[Any] = []
    client = socketio.Client(reconnection=False, handle_sigint=False)
    client.on("connect_error", told.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(pair.urls[0], transports=transports, wait_timeout=60)
    left += [getattr(client.eio.ws, "sock", None), client.eio.http]
    assert told[0]["data"]["code"] == "not_authenticated"
    client.disconnect()
    client = socketio.Client(reconnection=False, handle_sigint=False)
    client.connect(pair.urls[0], auth={"token": token("viewer")}, transports=transports)
    left += [getattr(client.eio.ws, "sock", None), client.eio.http]
    assert client.call("get_active_sessions", {})["ok"]
    client.disconnect()
    for one in left:  # python-engineio forgets them when the other side closes first
        if one is not None:
            one.close()


# -- a device's token


def test_device_acts_on_itself_alone(pair: Cluster) -> None:
    mine, other = device(pair.urls[0], "mine-1"), device(pair.urls[0], "other-1")
    for event, payload in {
        "update_data": {"device_id": "other-1", "key": "a", "value": 1},
        "update_telemetry": {"session_id": "other-1", "telemetry": {"a": 1}},
        "update_setup": {"session_id": "other-1", "setup": {}},
        "ping": {"device_id": "other-1"},
        "command_result": {"device_id": "other-1", "command_id": "x", "ok": True},
    }.items():
        assert mine.call(event, payload)["error"]["code"] == "not_allowed", event
    patch = mine.call("update_setup", {"session_id": "other-1", "patch": {"a": 1}})
    assert patch["error"]["code"] == "not_allowed"
    assert mine.call("register", {"device_id": "other-1"})["error"]["code"] in (
        "conflict",
        "not_allowed",
    )
    other.ok("update_data", {"key": "a", "value": 1})
    mine.close()
    other.close()


def test_token_of_another_device_does_not_register(pair: Cluster) -> None:
    victim = device(pair.urls[0], "victim-1")
    for claims in ({"device": "victim-2"}, {"prefix": "victim-1-"}, {"device": "VICTIM-1"}):
        thief = who(pair.urls[1], "device", **claims)
        assert thief.call("register", {"device_id": "victim-1"})["error"]["code"] == "not_allowed"
        thief.close()
    victim.ok("update_data", {"key": "a", "value": 1})
    assert victim.events("superseded") == []
    victim.close()


def test_token_for_one_id_needs_no_id_and_one_for_a_prefix_does(pair: Cluster) -> None:
    one = who(pair.urls[0], "device", device="only-1")
    assert one.ok("register")["session_id"] == "only-1"
    many = who(pair.urls[0], "device", prefix="many-")
    assert many.call("register", {})["error"]["code"] == "not_allowed"
    assert many.call("register", {"device_id": "many-"})["error"]["code"] == "not_allowed"
    assert many.ok("register", {"device_id": "many-1"})["session_id"] == "many-1"
    one.close()
    many.close()
