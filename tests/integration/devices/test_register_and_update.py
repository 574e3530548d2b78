"""The devices' door over real nodes, of both async modes and both transports: registers, updates, bad input."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from service.sessions.runs import samples_of
from tests.support.clients.clients import RawSocket
from tests.support.clients.device_clients import Connect, state_of
from tests.support.nodes.node_processes import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


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
    samples = samples_of(nodes.redis.lrange(key, 0, -1))
    assert len(samples) == 5
    assert json.loads(samples[-1])[0] == 11.5


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
