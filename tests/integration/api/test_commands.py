"""REST: commands to one device and to many."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from service.manager.bulk import Batches, command_id_of, run_batch
from service.manager.manager import SessionManager
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import NODE, Rest, path_of, rest
from tests.support.waiting import wait_until


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix, partitions=3) as made:
        yield made


def finish(api: Rest, device: Any, command_id: str, **how: Any) -> None:
    api.store.commands.take(device.session_id, device.generation)
    api.store.commands.finish(device.session_id, device.generation, command_id, **how)


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else 0


# -- one device


def test_command_is_queued_and_told_to_its_node(api: Rest) -> None:
    api.device("d")
    answer = api.ask(
        "POST", "/sessions/d/commands", {"command": "reboot", "params": {"hard": True}}
    )
    assert answer.status_code == 202
    shown = answer.json
    assert (shown["command"], shown["params"], shown["status"]) == (
        "reboot",
        {"hard": True},
        "queued",
    )
    assert shown["created_at"].endswith("Z")
    assert (NODE, "deliver", {"session_id": "d"}) in api.messages.said
    assert api.client.get(answer.headers["Location"]).json == shown
    assert api.get("/sessions/d/commands")["commands"] == [shown]


def test_idempotency_key_makes_one_command(api: Rest) -> None:
    api.device("d")
    made = {
        api.ask(
            "POST", "/sessions/d/commands", {"command": "a"}, headers={"Idempotency-Key": '"k-1"'}
        ).json["command_id"]
        for _ in range(3)
    }
    assert len(made) == 1
    assert len(api.get("/sessions/d/commands")["commands"]) == 1


def test_command_that_ends_while_waited_for_is_answered_with_its_result(api: Rest) -> None:
    device = api.device("d")
    answers: list[Any] = []

    def ask() -> None:
        body = {"command": "measure", "wait": "result", "timeout_s": 10}
        answers.append(api.app.test_client().post("/api/v1/sessions/d/commands", json=body))

    waiting = threading.Thread(target=ask)
    waiting.start()
    [command] = wait_until(lambda: api.store.commands.all("d"), what="the command is queued")
    finish(api, device, command["command_id"], ok=True, result_json='{"t": 21.5}')
    waiting.join(60)
    assert answers[0].status_code == 200
    assert answers[0].json["status"] == "succeeded"
    assert answers[0].json["result"] == {"t": 21.5}


def test_command_that_is_not_answered_in_time_goes_on(api: Rest) -> None:
    api.device("d")
    body = {"command": "a", "wait": "delivered", "timeout_s": 0.05}
    told = problem(api.ask("POST", "/sessions/d/commands", body), 504, "command_timeout")
    assert api.get(f"/sessions/d/commands/{told['command_id']}")["status"] == "queued"


def test_command_now_to_a_device_that_is_away_is_refused(api: Rest) -> None:
    session_id = api.create()
    body = {"command": "a", "ttl_s": 0}
    problem(api.ask("POST", f"/sessions/{session_id}/commands", body), 409, "device_offline")


def test_too_many_open_commands_say_when_to_come_again(redis_url: str, key_prefix: str) -> None:
    with rest(redis_url, key_prefix, max_queued=2) as api:
        session_id = api.create()
        for _ in range(2):
            api.ask("POST", f"/sessions/{session_id}/commands", {"command": "a"})
        refused = api.ask("POST", f"/sessions/{session_id}/commands", {"command": "a"})
        problem(refused, 503, "overloaded")
        assert int(refused.headers["Retry-After"]) >= 1


def test_cancel_ends_an_open_command_once(api: Rest) -> None:
    device = api.device("d")
    first, second = (
        api.ask("POST", "/sessions/d/commands", {"command": name}).json["command_id"]
        for name in "ab"
    )
    assert api.ask("DELETE", f"/sessions/d/commands/{first}").json["status"] == "cancelled"
    assert api.ask("DELETE", f"/sessions/d/commands/{first}").status_code == 200
    finish(api, device, second, ok=False, error_json='"broken"')
    problem(api.ask("DELETE", f"/sessions/d/commands/{second}"), 409, "conflict")
    assert api.get(f"/sessions/d/commands/{second}")["error"] == "broken"
    problem(api.ask("DELETE", "/sessions/d/commands/none"), 404, "command_not_found")
    problem(api.ask("DELETE", "/sessions/none/commands/x"), 404, "session_not_found")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"command": ""},
        {"command": 1},
        {"command": "a", "wait": "forever"},
        {"command": "a", "ttl_s": -1},
        {"command": "a", "ttl_s": 1e12},
        {"command": "a", "timeout_s": 0},
        {"command": "a", "params": deep(33)},
    ],
)  # fmt: skip
def test_wrong_commands_are_refused(api: Rest, body: Any) -> None:
    session_id = api.create()
    problem(api.ask("POST", f"/sessions/{session_id}/commands", body), 400, "invalid_request")
    assert api.store.commands.all(session_id) == []


# -- many devices


def run(api: Rest, batch_id: str, **options: Any) -> int:
    return run_batch(api.manager, batch_id, **options)


def devices_of(api: Rest, batch_id: str, limit: int = 500) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = api.get(f"/commands/{batch_id}?limit={limit}{cursor}")
        found += page["devices"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def test_bulk_by_ids_says_how_it_stands_at_each(api: Rest) -> None:
    one, two = api.device("one", sid="abc.1"), api.device("a/b", sid="abc.2")
    answer = api.ask(
        "POST", "/commands", {"command": "sync", "session_ids": ["one", "a/b", "none", "one"]}
    )
    assert answer.status_code == 202
    batch_id = answer.json["batch_id"]
    assert answer.headers["Location"] == f"/api/v1/commands/{batch_id}"
    assert (answer.json["state"], answer.json["total"]) == ("queued", 3)
    assert {device["status"] for device in answer.json["devices"]} == {"waiting"}
    assert run(api, batch_id) == 3
    finish(api, one, command_id_of(batch_id, "one"), ok=True, result_json="1")
    shown = api.get(f"/commands/{batch_id}")
    assert shown["state"] == "done"
    assert shown["statuses"] == {"succeeded": 1, "queued": 1, "refused": 1}
    by_id = {device["session_id"]: device for device in shown["devices"]}
    assert by_id["one"]["result"] == 1
    assert by_id["a/b"]["command_id"] == command_id_of(batch_id, "a/b")
    assert by_id["none"]["error"]["code"] == "session_not_found"
    assert two.generation


def test_bulk_by_filter_finds_its_devices_page_by_page(api: Rest, monkeypatch: Any) -> None:
    monkeypatch.setattr("service.manager.bulk.CALL_SESSIONS", 4)
    monkeypatch.setattr("service.manager.bulk.CHUNK", 3)
    for i in range(11):
        api.device(f"kiosk-{i}", sid=f"abc.{i}", project_id="berlin")
    api.device("van", sid="def.1")
    body = {"command": "sync", "filter": {"project_id": "berlin", "state": "active"}}
    batch_id = api.ask("POST", "/commands", body).json["batch_id"]
    assert api.get(f"/commands/{batch_id}")["total"] is None
    assert run(api, batch_id) == 11
    assert len(devices_of(api, batch_id, limit=4)) == 11
    assert api.get(f"/commands/{batch_id}")["statuses"] == {"queued": 11}
    assert api.store.commands.all("van") == []
    here = {"command": "sync", "filter": {"node_id": NODE, "q": "VAN"}}
    batch_id = api.ask("POST", "/commands", here).json["batch_id"]
    assert run(api, batch_id) == 1
    everybody = api.ask("POST", "/commands", {"command": "sync", "filter": {}}).json["batch_id"]
    assert run(api, everybody) == 12


def test_bulk_with_an_idempotency_key_is_one_batch(api: Rest) -> None:
    api.device("one")
    body = {"command": "sync", "session_ids": ["one"]}
    ids = set()
    for _ in range(3):
        answer = api.ask("POST", "/commands", body, headers={"Idempotency-Key": "k"})
        ids.add(answer.json["batch_id"])
        for batch_id in ids:
            run(api, batch_id)
    assert len(ids) == 1
    assert len(api.store.commands.all("one")) == 1


def test_bulk_for_projects_leaves_out_a_device_that_left_them(api: Rest) -> None:
    """It may have moved between being named and its turn; where it is now nobody asked for it."""
    for name in ("stays", "moves"):
        api.device(name, sid=f"abc.{name}", project_id="berlin")
    batches = Batches(api.store, api.jobs, 1000)
    request = {"command": "sync", "params": None, "projects": ["berlin"]}
    batch_id = batches.start(request, ["stays", "moves", "none"])["batch_id"]
    api.device("moves", sid="abc.new", project_id="rome")
    assert run(api, batch_id) == 3
    statuses = {one["session_id"]: one["status"] for one in devices_of(api, batch_id)}
    assert statuses == {"stays": "queued", "moves": "refused", "none": "refused"}
    assert api.store.commands.all("moves") == []


class Died(Exception):
    """The worker was killed here."""


@pytest.mark.parametrize("step", ["found", "sent", "noted"])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_bulk_whose_worker_dies_goes_on_without_a_command_twice(
    api: Rest, monkeypatch: Any, step: str, number: int
) -> None:
    """Killed at any step, any number of times: every device has the command once."""
    monkeypatch.setattr("service.manager.bulk.CALL_SESSIONS", 3)
    monkeypatch.setattr("service.manager.bulk.CHUNK", 2)
    for i in range(10):
        api.device(f"k-{i}", sid=f"abc.{i}")
    batch_id = api.ask("POST", "/commands", {"command": "sync", "filter": {}}).json["batch_id"]
    left = [number]

    def kill(name: str) -> None:
        left[0] -= name == step
        if left[0] == 0:
            left[0] = number
            raise Died

    for _ in range(30):
        try:
            run(api, batch_id, step=kill)
            break
        except Died:
            left[0] += 1  # gets a little further each time
            number += 1
    assert api.get(f"/commands/{batch_id}")["state"] == "done"
    for i in range(10):
        assert len(api.store.commands.all(f"k-{i}")) == 1


def test_bulk_run_by_two_workers_at_once_sends_once(api: Rest, redis_url: str) -> None:
    for i in range(60):
        api.device(f"k-{i}", sid=f"abc.{i}")
    batch_id = api.ask("POST", "/commands", {"command": "sync", "filter": {}}).json["batch_id"]
    managers = [SessionManager(api.store, api.messages) for _ in range(2)]
    threads = [threading.Thread(target=run_batch, args=(one, batch_id)) for one in managers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert api.get(f"/commands/{batch_id}")["statuses"] == {"queued": 60}
    assert all(len(api.store.commands.all(f"k-{i}")) == 1 for i in range(60))


def test_bulk_is_a_job_by_name_and_not_enqueued_twice(api: Rest) -> None:
    api.device("one")
    body = {"command": "sync", "session_ids": ["one"]}
    for _ in range(2):
        answer = api.ask("POST", "/commands", body, headers={"Idempotency-Key": "k"})
    [job] = api.jobs.jobs(["queued"], 10)
    assert job["name"] == "send_batch"
    assert job["arguments"] == [answer.json["batch_id"]]


@pytest.mark.parametrize(
    "body",
    [
        {"command": "a"},
        {"command": "a", "session_ids": []},
        {"command": "a", "session_ids": ["x"], "filter": {}},
        {"command": "a", "session_ids": None},
        {"command": "a", "session_ids": [""]},
        {"command": "a", "session_ids": ["x"] * 10_001},
        {"command": "a", "filter": {"state": "archived"}},
        {"session_ids": ["x"]},
    ],
)
def test_wrong_bulk_commands_are_refused(api: Rest, body: Any) -> None:
    problem(api.ask("POST", "/commands", body), 400, "invalid_request")
    assert api.jobs.counts()["queued"] == 0


def test_unknown_batch_is_not_found(api: Rest) -> None:
    problem(api.ask("GET", "/commands/none"), 404, "batch_not_found")
    assert path_of("x") == "/sessions/x"
