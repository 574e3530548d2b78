"""What nodes really send is what the AsyncAPI document says: every event and every ack, recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from service.config.loader import load_config
from service.manager.manager import SessionManager
from service.sockets.events import examples, outgoing
from service.sockets.events.payloads import CLIENT_EVENTS
from tests.support.clients.bare import Bare
from tests.support.clients.logins import nodes_with_login, token
from tests.support.nodes.node_processes import Cluster
from tests.support.schemas import DOCUMENT, exactly, payload_of
from tests.support.waiting import wait_until
from workers import memory
from workers.archive import Outcome

pytestmark = pytest.mark.processes


class Recorder:
    """Clients whose every word is kept, and what they sent is looked at too."""

    def __init__(self) -> None:
        self.clients: list[Bare] = []
        self.acks: list[tuple[str, Any]] = []

    def client(self, url: str, role: str = "admin", **options: Any) -> Bare:
        made = Bare(url, auth={"token": token(role)}, **options)
        self.clients.append(made)
        return made

    def call(self, client: Bare, event: str, payload: Any = None) -> Any:
        assert payload_of(f"client.{event}").is_valid(payload or {}), (event, payload)
        answer = client.call(event, payload)
        self.acks.append((event, answer))
        return answer

    @property
    def events(self) -> list[tuple[str, Any]]:
        return [(event, payload) for one in self.clients for event, payload, _ in one.received]

    def seen(self, *names: str) -> bool:
        return set(names) <= {event for event, _ in self.events}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("asyncapi")
    archive = f"file://{folder / 'archive'}"
    with nodes_with_login(folder, node__ping_interval_s=1, archive__url=archive) as made:
        yield made


@pytest.fixture(scope="module")
def recorder(cluster: Cluster) -> Iterator[Recorder]:
    made = Recorder()
    talk(made, cluster)
    yield made
    for one in made.clients:
        one.close()


def talk(told: Recorder, cluster: Cluster) -> None:
    """Every event and every ack at least once."""
    first, second = cluster.urls
    each, batch = told.client(second), told.client(second)
    told.call(each, "register_vue", {})
    told.call(batch, "register_vue", {"scope": {"project_id": "berlin"}, "batch": True})
    cluster.start(1, node__public_url="https://node-3.example")
    device = told.client(first, answer=lambda command: [{"ok": True, "result": command["params"]}])
    about = {"session_name": "Hall", "project_id": "berlin", "meta": {"m": 1}, "stream": "s"}
    told.call(device, "register", {"device_id": "kiosk-1", **about})
    talk_as_device(told, device)
    talk_as_dashboard(told, each)
    talk_of_commands(told, each, device)
    told.call(told.client(second), "register", {"device_id": "kiosk-1"})
    wait_until(lambda: told.seen("superseded"), 10)
    wait_until(
        lambda: told.seen("session_data_key_update", "session_data_updates", "command_update"), 10
    )
    wait_until(lambda: told.seen("ping"), 10)
    told.call(each, "delete_session", {"device_id": "kiosk-1"})
    told.call(each, "delete_session", {"device_id": "kiosk-1"})
    wait_until(lambda: told.seen("deleted"), 10)
    each.emit("register_vue", {"scope": "nonsense"})
    wait_until(lambda: told.seen("service_error"), 10)
    manager = SessionManager.connect(cluster.server.url, load_config(None, cluster.settings))
    memory.report(manager, Outcome(archived=3), memory.read_memory(manager.store),
                memory.Reading(50.0, None))  # fmt: skip
    told.call(told.client(first), "register", {"device_id": "kiosk-3"})
    manager.disconnect_device("kiosk-3")
    wait_until(lambda: told.seen("kicked"), 10)
    manager.close()
    wait_until(lambda: told.seen("memory_relieved"), 10)
    cluster.server.pause()
    wait_until(lambda: told.seen("feed_state"), 10)
    cluster.server.resume()
    wait_until(lambda: told.seen("nodes"), 20)
    cluster.redis.delete(cluster.keys.epoch(0))
    told.call(told.client(first), "register", {"device_id": "kiosk-2"})
    wait_until(lambda: told.seen("resync"), 20)
    cluster.nodes[1].stop()
    wait_until(lambda: told.seen("draining"), 10)


def talk_as_device(told: Recorder, device: Bare) -> None:
    told.call(device, "register", {"device_id": "other"})  # refused
    told.call(device, "update_data", {"key": "speed", "value": 7, "seq": 1})
    told.call(device, "update_data", {"data": {"a": [1, {"b": None}]}, "seq": 1})  # a duplicate
    told.call(device, "update_data", {"samples": [["a", 1], ["a", 2, 1.5]], "seq": 9})  # a gap
    told.call(device, "update_telemetry", {"telemetry": {"a": "ä"}})
    told.call(device, "update_setup", {"setup": {"x": 1}})
    told.call(device, "update_setup", {"reported_version": 1})
    told.call(device, "ping", {"n": 5})
    told.call(device, "pong", {})
    told.call(device, "command_result", {"command_id": "none", "ok": True})


def talk_as_dashboard(told: Recorder, each: Bare) -> None:
    one = {"device_id": "kiosk-1"}
    told.call(each, "update_setup", {**one, "patch": {"y": 2}})
    told.call(each, "undo_setup", one)
    told.call(each, "redo_setup", {**one, "version": 3})
    told.call(each, "redo_setup", one)  # nothing more
    told.call(each, "join_session", one)
    told.call(each, "get_active_sessions", {"limit": 1})
    told.call(each, "get_inactive_sessions", {"q": "k"})
    told.call(each, "get_active_session", one)
    told.call(each, "get_data", {**one, "keys": ["a", "speed"]})
    told.call(each, "get_data", {**one, "keys": ["speed"], "step": 60, "agg": "count"})
    told.call(each, "leave_session", one)
    answer = told.call(each, "register_vue", {"scope": "fleet"})
    told.call(each, "register_vue", {"scope": "fleet", "cursor": answer["cursor"]})


def talk_of_commands(told: Recorder, each: Bare, device: Bare) -> None:
    order = {"device_id": "kiosk-1", "command": "look", "params": [1, None]}
    told.call(each, "send_command", order)
    told.call(each, "send_command", {**order, "wait": "result", "timeout_s": 5})
    made = told.call(each, "send_command", {**order, "wait": "delivered", "ttl_s": 30})
    told.call(device, "command_result", {"command_id": made["command_id"], "ok": False})
    own = told.client(device.url)
    told.call(own, "register", {"device_id": "gone-1"})
    own.close()
    wait_until(lambda: told.call(each, "get_inactive_session", {"device_id": "gone-1"})["ok"], 10)
    told.call(each, "send_command", {"device_id": "gone-1", "command": "x", "ttl_s": 0})


def test_nodes_send_what_the_document_says(recorder: Recorder) -> None:
    events, acks = recorder.events, recorder.acks
    assert {event for event, _ in events} == outgoing.SERVER_EVENTS.keys()
    for event, payload in events:
        for validator in (
            payload_of(f"server.{event}"),
            exactly([outgoing.SERVER_EVENTS[event]]),
        ):
            faults = [str(fault.message) for fault in validator.iter_errors(payload)]
            assert not faults, (event, payload, faults)
    done = {event for event, answer in acks if answer["ok"]}
    assert done == CLIENT_EVENTS.keys()
    for event, answer in acks:
        if not answer["ok"]:
            assert payload_of("ack.refused").is_valid(answer), (event, answer)
            continue
        assert payload_of(f"ack.{event}").is_valid(answer), (event, answer)
        fields = {name: value for name, value in answer.items() if name != "ok"}
        models = outgoing.ACKS[event]
        assert exactly(models).is_valid(fields) if models else not fields, (event, answer)
    refused = {answer["error"]["code"] for _, answer in acks if not answer["ok"]}
    assert {"conflict", "session_not_found", "device_offline"} <= refused


def test_examples_have_the_fields_of_what_nodes_send(recorder: Recorder) -> None:
    """Each of one that was seen; errors have many forms."""
    seen = [(f"server.{event}", payload) for event, payload in recorder.events]
    seen += [(f"ack.{event}", answer) for event, answer in recorder.acks if answer["ok"]]
    fields = {name: [set(one) for other, one in seen if other == name] for name, _ in seen}
    for name in fields.keys() - {"server.service_error", "server.pong"}:
        for shown in DOCUMENT["components"]["messages"][name]["examples"]:
            assert set(shown["payload"]) in fields[name], (name, shown)
    (summary,) = (
        one["active"][0] for name, one in seen if name == "ack.register_vue" and one["active"]
    )
    (session,) = (one["session"] for name, one in seen if name == "ack.get_active_session")
    assert set(examples.ACKS["register_vue"][0]["active"][0]) == set(summary)
    assert set(examples.ACKS["get_active_session"][0]["session"]) == set(session)


def test_refused_connect_is_as_the_document_says(cluster: Cluster) -> None:
    line = websocket.create_connection(
        cluster.urls[0].replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket",
        timeout=20,
    )
    line.recv()
    line.send("40{}")
    told = json.loads(line.recv()[2:])
    line.close()
    assert payload_of("server.connect_error").is_valid(told)
    assert told["data"]["code"] == "not_authenticated"
