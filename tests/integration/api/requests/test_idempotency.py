"""Idempotency keys: the same request again has the same answer, another one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.errors import IdempotencyMismatch
from service.manager.bulk import Batches
from service.sessions.model import NewCommand
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, rest
from tests.support.nodes.nodes import Network, Node

ONCE = {"Idempotency-Key": "order-7"}
COMMAND: dict[str, Any] = {"command": "dose", "params": {"ml": 5, "valve": 1}}
ONE = "/sessions/d/commands"


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        made.device("d")
        yield made


@pytest.mark.parametrize(
    "other",
    [
        {"command": "drain", "params": {"ml": 5, "valve": 1}},
        {"command": "dose", "params": {"ml": 50, "valve": 1}},
        {"command": "dose"},
        {**COMMAND, "ttl_s": 30},
        {**COMMAND, "ttl_s": 0},
    ],
)
def test_key_with_another_command_is_refused_and_names_the_first(
    api: Rest, other: dict[str, Any]
) -> None:
    made = api.ask("POST", ONE, COMMAND, headers=ONCE).json
    refused = api.ask("POST", ONE, other, headers=ONCE)
    problem(refused, 422, "idempotency_mismatch")
    assert refused.json["command_id"] == made["command_id"]
    assert len(api.store.commands.all("d")) == 1


def test_key_with_the_same_command_is_that_command(api: Rest) -> None:
    """However its fields are ordered, and however long the request waits."""
    made = api.ask("POST", ONE, COMMAND, headers=ONCE).json
    turned = {"params": {"valve": 1, "ml": 5}, "command": "dose"}
    api.store.commands.cancel("d", made["command_id"])
    for again in (COMMAND, turned, {**COMMAND, "wait": "result", "timeout_s": 3}):
        answer = api.ask("POST", ONE, again, headers=ONCE)
        assert answer.status_code == 200, answer.text
        assert answer.json["command_id"] == made["command_id"]
        assert answer.json["status"] == "cancelled"


def test_key_counts_for_its_device_only(api: Rest) -> None:
    api.device("e", sid="abc.2")
    ids = {
        api.ask("POST", f"/sessions/{name}/commands", body, headers=ONCE).json["command_id"]
        for name, body in (("d", COMMAND), ("e", {"command": "drain"}))
    }
    assert len(ids) == 2


def test_key_of_a_command_from_an_earlier_version_answers_as_it_did(api: Rest) -> None:
    """Its record has no digest: nobody knows what was asked for."""
    api.store.commands.add("d", NewCommand("c1", "dose", "null", 60_000, idempotency_key="order-7"))
    answer = api.ask("POST", ONE, {"command": "drain"}, headers=ONCE)
    assert (answer.status_code, answer.json["command_id"]) == (202, "c1")


@pytest.mark.parametrize(
    "other",
    [
        {"command": "drain", "session_ids": ["d"]},
        {"command": "sync", "session_ids": ["d"], "params": 1},
        {"command": "sync", "session_ids": ["d"], "ttl_s": 5},
        {"command": "sync", "session_ids": ["d", "e"]},
        {"command": "sync", "filter": {}},
    ],
)
def test_key_with_another_bulk_command_is_refused(api: Rest, other: dict[str, Any]) -> None:
    body = {"command": "sync", "session_ids": ["d"]}
    made = api.ask("POST", "/commands", body, headers=ONCE)
    assert made.status_code == 202
    refused = api.ask("POST", "/commands", other, headers=ONCE)
    problem(refused, 422, "idempotency_mismatch")
    assert refused.json["batch_id"] == made.json["batch_id"]
    again = api.ask("POST", "/commands", body, headers=ONCE)
    assert (again.status_code, again.json) == (202, made.json)


def test_of_two_bulk_commands_that_come_together_with_one_key_one_is_sent_whole(
    api: Rest,
) -> None:
    """Never the command of the one to the devices of the other."""
    batches = Batches(api.store, api.jobs, 1000)

    def start(name: str, key: str) -> dict[str, Any] | None:
        try:
            return batches.start({"command": name}, [name], key)
        except IdempotencyMismatch:
            return None

    with ThreadPoolExecutor(2) as pool:
        for turn in range(20):
            asked = [pool.submit(start, name, f"key-{turn}") for name in ("one", "two")]
            [started] = [made for one in asked if (made := one.result(20)) is not None]
            shown = batches.show(started["batch_id"], limit=10)
            assert [one["session_id"] for one in shown["devices"]] == [shown["command"]]


def test_bulk_command_is_answered_as_it_was_stored(api: Rest, monkeypatch: Any) -> None:
    """Nothing is read for the answer: the command may be under way, or its devices many."""
    monkeypatch.setattr(Batches, "show", None)
    ids = [f"k-{i:03}" for i in range(150)]
    shown = api.ask("POST", "/commands", {"command": "sync", "session_ids": ids}).json
    assert (shown["state"], shown["total"], shown["next"]) == ("queued", 150, "100")
    assert shown["statuses"] == {"waiting": 150}
    assert shown["devices"][99] == {"session_id": "k-099", "command_id": None, "status": "waiting"}
    monkeypatch.undo()
    assert api.get(f"/commands/{shown['batch_id']}") == shown
    found = api.ask("POST", "/commands", {"command": "sync", "filter": {}}).json
    assert api.get(f"/commands/{found['batch_id']}") == found


def test_key_of_a_socket_and_of_rest_are_the_same(api: Rest, redis_url: str) -> None:
    """A program may send the order by one and repeat it by the other."""
    network = Network()
    node = Node(api.store, redis_url, network)
    try:
        client = node.client()
        order = {"device_id": "d", "idempotency_key": "order-7", **COMMAND, "ttl_s": 60}
        made = client.call("send_command", order)
        assert made["ok"], made
        again = api.ask("POST", ONE, {**COMMAND, "ttl_s": 60}, headers=ONCE)
        assert (again.status_code, again.json["command_id"]) == (202, made["command_id"])
        for other in ({"command": "drain"}, {"params": None}, {"ttl_s": 61}):
            refused = client.call("send_command", {**order, **other})
            assert refused["ok"] is False
            assert refused["error"]["code"] == "idempotency_mismatch"
            assert refused["error"]["command_id"] == made["command_id"]
    finally:
        network.close()
