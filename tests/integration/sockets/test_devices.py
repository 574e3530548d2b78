"""The devices' door, over real nodes of both async modes and both transports."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import RealServer
from tests.support.clients import Client, RawSocket
from tests.support.node_processes import ROADS, Cluster, road
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

Connect = Callable[..., Client]


@pytest.fixture(scope="module", params=ROADS)
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(f"devices-{request.param}")
    server = RealServer(folder)
    server.start()
    cluster = Cluster(
        server,
        folder,
        {
            **road(request.param),
            "node.ping_interval_s": 1,
            "node.ping_timeout_s": 2,
            "sessions.history": {"default": 5, "keys": {}},
            "sessions.max_keys": 20,
            "limits.flapping_registers": 30,
        },
    )
    try:
        cluster.start(2)
        yield cluster
        assert cluster.tracebacks() == []
    finally:
        cluster.close()
        server.kill()


@pytest.fixture
def connect(nodes: Cluster) -> Iterator[Connect]:
    made: list[Client] = []

    def make(node: int = 0, **options: Any) -> Client:
        made.append(Client(nodes.urls[node], **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def device_id(key_prefix: str) -> str:
    return f"dev/{key_prefix}:é"


def state_of(nodes: Cluster, session_id: str) -> dict[str, str]:
    return nodes.store.index.get(session_id) or {}


@pytest.mark.parametrize("transports", [("websocket",), ("polling",), ("polling", "websocket")])
def test_register_and_update_over_each_transport(
    nodes: Cluster, connect: Connect, device_id: str, transports: tuple[str, ...]
):
    device = connect(transports=transports)
    answer = device.ok("register", {"device_id": device_id, "session_name": "one"})
    assert answer["session_id"] == device_id
    assert (answer["resumed"], answer["restored"], answer["last_seq"]) == (False, False, 0)
    assert device.await_event("registered")["generation"] == answer["generation"]

    update = device.ok("update_data", {"key": "speed", "value": 12.5, "ts": 1000.5})

    assert update["rev"] == answer["rev"] + 1
    details = nodes.store.index.details(device_id)
    assert details is not None
    assert details["data"]["speed"] == [[12.5, 1000.5]]
    assert details["state"] == "active"


def test_register_without_id_makes_one(connect: Connect):
    answer = connect().ok("register", {})
    assert len(answer["session_id"]) == 36


def test_register_again_on_the_same_socket_keeps_the_generation(connect: Connect, device_id: str):
    device = connect()
    first = device.ok("register", {"device_id": device_id})
    again = device.ok("register", {"session_id": device_id})
    assert again["generation"] == first["generation"]

    error = device.error("register", {"device_id": device_id + "2"})
    assert error["code"] == "conflict"
    assert device.got("superseded") == []


def test_register_again_with_another_stream_counts_anew(connect: Connect, device_id: str):
    device = connect()
    device.ok("register", {"device_id": device_id, "stream": "boot-1"})
    device.ok("update_data", {"key": "a", "value": 1, "seq": 1})

    assert device.ok("register", {"device_id": device_id, "stream": "boot-2"})["last_seq"] == 0
    device.ok("update_data", {"key": "a", "value": 2, "seq": 1})


@pytest.mark.parametrize("other_node", [0, 1])
def test_register_elsewhere_supersedes_the_first_socket(
    nodes: Cluster, connect: Connect, device_id: str, other_node: int
):
    """On the same node and on another one."""
    old, new = connect(0), connect(other_node)
    first = old.ok("register", {"device_id": device_id})
    second = new.ok("register", {"device_id": device_id})

    assert second["resumed"]
    assert second["generation"] > first["generation"]
    assert old.await_event("superseded")["session_id"] == device_id
    old.await_end()
    new.ok("update_data", {"key": "a", "value": 1})
    # The late disconnect of the first one has changed nothing.
    assert state_of(nodes, device_id)["state"] == "active"
    assert int(state_of(nodes, device_id)["generation"]) == second["generation"]


def is_stale(answer: dict[str, Any]) -> bool:
    """Whether it was refused because the owner connected later."""
    return bool(answer["error"]["code"] == "stale_generation")


def test_register_fifty_at_once_leaves_one_owner(nodes: Cluster, device_id: str, connect: Connect):
    clients = [connect(n % 2) for n in range(20)]
    answers: list[dict[str, Any]] = [{} for _ in clients]

    def register(n: int) -> None:
        answers[n] = clients[n].call("register", {"device_id": device_id})

    threads = [threading.Thread(target=register, args=(n,)) for n in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert all(answer["ok"] or is_stale(answer) for answer in answers)
    last = max(answers, key=lambda answer: answer.get("generation", 0))
    wait_until(lambda: sum(client.sio.connected for client in clients) == 1, 10)
    winner = clients[answers.index(last)]
    assert winner.sio.connected
    winner.ok("update_data", {"key": "a", "value": 1})
    losers = [client for client in clients if client is not winner]
    wait_until(lambda: all(client.got("superseded") for client in losers), 5)


def test_events_before_register_are_refused(connect: Connect):
    device = connect()
    for event in ("update_data", "update_telemetry", "command_result", "update_setup", "pong"):
        assert device.error(event, {"key": "a", "value": 1})["code"] == "not_registered", event


def test_update_of_another_session_is_refused(nodes: Cluster, connect: Connect, device_id: str):
    device = connect()
    device.ok("register", {"device_id": device_id})
    error = device.error("update_data", {"device_id": "somebody-else", "key": "a", "value": 1})
    assert error["code"] == "not_allowed"
    assert nodes.store.index.get("somebody-else") is None


def test_update_forms_are_the_same(nodes: Cluster, connect: Connect, device_id: str):
    device = connect()
    device.ok("register", {"device_id": device_id})
    device.ok("update_data", {"device_id": device_id, "key": "a", "value": 1, "ts": 1})
    device.ok("update_data", {"data": {"a": 2, "b": {"c": [1, None]}}, "ts": 2})
    device.ok("update_data", {"samples": [["a", 3, 3], ["a", 4]]})
    device.ok("update_telemetry", {"telemetry": {"d": "x"}})

    details = nodes.store.index.details(device_id)
    assert details is not None
    assert [sample[0] for sample in details["data"]["a"]] == [1, 2, 3, 4]
    assert details["telemetry"] == {"a": 4, "b": {"c": [1, None]}, "d": "x"}


def test_update_history_stays_bounded(nodes: Cluster, connect: Connect, device_id: str):
    device = connect()
    device.ok("register", {"device_id": device_id})
    for n in range(12):
        device.ok("update_data", {"samples": [["a", n], ["a", n + 0.5]]})

    key = nodes.keys.history(device_id, "a")
    assert nodes.redis.llen(key) == 5
    assert json.loads(nodes.redis.lindex(key, -1))[0] == 11.5


def test_update_with_seq_is_stored_once_and_in_order(
    nodes: Cluster, connect: Connect, device_id: str
):
    device = connect()
    device.ok("register", {"device_id": device_id})
    first = device.ok("update_data", {"key": "a", "value": 1, "seq": 1})
    again = device.ok("update_data", {"key": "a", "value": 1, "seq": 1})
    assert (again["rev"], again["duplicate"]) == (first["rev"], True)
    gap = device.error("update_data", {"key": "a", "value": 3, "seq": 3})
    assert (gap["code"], gap["expected_seq"]) == ("conflict", 2)
    assert (
        device.error("update_data", {"key": "a", "value": 0, "seq": 0})["code"] == "invalid_request"
    )

    elsewhere = connect(1)
    assert elsewhere.ok("register", {"device_id": device_id})["last_seq"] == 1
    elsewhere.ok("update_data", {"key": "a", "value": 2, "seq": 2})

    details = nodes.store.index.details(device_id)
    assert details is not None
    assert [sample[0] for sample in details["data"]["a"]] == [1, 2]


def test_update_burst_without_waiting_is_acked_in_order(nodes: Cluster, device_id: str):
    """Many frames in one segment: each acked once, with revs that follow each other."""
    raw = RawSocket(nodes.urls[0])
    start = raw.call("register", {"device_id": device_id})["rev"]
    for n in range(1, 301):
        raw.send(f'42{1000 + n}["update_data",{{"key":"a","value":{n},"seq":{n}}}]')
    revs = []
    for n in range(1, 301):
        answer = json.loads(raw.packet(f"43{1000 + n}[")[len(f"43{1000 + n}") :])[0]
        assert answer["ok"], answer
        revs.append(answer["rev"])
    assert revs == list(range(start + 1, start + 301))
    raw.close()


def test_update_with_too_many_keys_is_refused(nodes: Cluster, connect: Connect, device_id: str):
    device = connect()
    device.ok("register", {"device_id": device_id})
    device.ok("update_data", {"data": {f"k{n}": n for n in range(20)}})
    assert device.error("update_data", {"key": "one-more", "value": 1})["code"] == "too_large"
    device.ok("update_data", {"key": "k1", "value": 2})


@pytest.mark.parametrize(
    "text",
    [
        '["update_data", {"key": "a", "value": NaN}]',
        '["update_data", {"key": "a", "value": 1e999}]',
        '["update_data", {"key": "", "value": 1}]',
        '["update_data", {"key": "a\\u0000b", "value": 1}]',
        '["update_data", {"key": 1, "value": 1}]',
        '["update_data", {"value": 1}]',
        '["update_data", []]',
        '["update_data"]',
        '["update_data", {"key": "a", "value": ' + "[" * 40 + "]" * 40 + "}]",
        '["update_data", {"samples": []}]',
        '["update_data", {"key": "a", "value": 1, "seq": "1"}]',
        '["no_such_event", {}]',
    ],
)
def test_bad_input_is_refused_and_the_socket_lives(nodes: Cluster, key_prefix: str, text: str):
    raw = RawSocket(nodes.urls[0])
    raw.call("register", {"device_id": f"bad-{key_prefix}"})
    answer = raw.call_json(text)
    assert answer["error"]["code"] == "invalid_request", answer
    assert raw.call("update_data", {"key": "a", "value": 1})["ok"]
    raw.close()


@pytest.mark.parametrize(
    "bad", ["", "a" * 257, "x\ny", "\x00", 5, ["a"], {"a": 1}], ids=lambda bad: repr(bad)[:12]
)
def test_register_with_a_bad_id_is_refused(connect: Connect, bad: Any):
    assert connect().error("register", {"device_id": bad})["code"] == "invalid_request"


@pytest.mark.parametrize(
    "odd", ["../../etc/passwd", "a/b", "CON", "<img onerror=x>", "%2e%2e", "a:b|c", "🚀" * 60, " "]
)
def test_register_with_an_odd_id_works(nodes: Cluster, connect: Connect, odd: str):
    device = connect()
    device.ok("register", {"device_id": odd})
    device.ok("update_data", {"key": odd, "value": odd})
    details = nodes.store.index.details(odd)
    assert details is not None
    assert details["telemetry"][odd] == odd


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
