"""Devices without a socket, over REST: reports, results, commands, budgets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import BASE, NODE, Rest, rest
from tests.support.waiting import wait_until


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


def send(api: Rest, device_id: str = "d1", **body: Any) -> Any:
    answer = api.ask("POST", f"/devices/{device_id}/updates", body)
    assert answer.status_code == 200, answer.text
    return answer.json


def refused(api: Rest, status: int, code: str, **body: Any) -> Any:
    return problem(api.ask("POST", "/devices/d1/updates", body), status, code)


def command(api: Rest, device_id: str = "d1", **options: Any) -> TestResponse:
    body = {"command": "reboot", **options}
    return api.ask("POST", f"/sessions/{device_id}/commands", body)


def shown(api: Rest) -> Any:
    return api.get("/sessions/d1")


class Waiting:
    """A request that waits in a thread of its own."""

    def __init__(self, api: Rest, wait_s: float, device_id: str = "d1") -> None:
        self.answer: TestResponse | None = None

        def ask() -> None:
            path = f"{BASE}/devices/{device_id}/commands?wait_s={wait_s}"
            self.answer = api.app.test_client().get(path)

        key = api.store.keys.waiting(device_id)
        before = api.redis.get(key)
        self.thread = threading.Thread(target=ask, daemon=True)
        self.thread.start()
        # Not by how many wait: where it ends the wait of another one, they are more for a moment only.
        wait_until(lambda: api.redis.get(key) not in (None, before) or self.answer, 5)

    def join(self) -> TestResponse:
        self.thread.join(20)
        assert self.answer is not None, "still waits"
        return self.answer


def test_one_request_makes_the_session_stores_samples_and_says_who_the_device_is(
    api: Rest,
) -> None:
    answer = send(api, data={"t": 21.5}, session_name="Hall", expect_every_s=60, ts=12.5)
    assert answer["server_time"] == pytest.approx(time.time(), abs=60)
    assert (answer["setup_version"], answer["commands"], answer["results"]) == (0, [], [])
    found = shown(api)
    assert found["data"] == {"t": [[21.5, 12.5]]}
    assert (found["session_name"], found["expect_every_s"]) == ("Hall", 60)
    assert (found["state"], found["seen_by"], found["is_connected"]) == ("active", "http", False)


def test_all_forms_of_samples_are_taken(api: Rest) -> None:
    send(api, key="a", value=None)
    send(api, data={"a": 1, "b": [1]})
    send(api, samples=[["a", 2], ["a", 3, 7]])
    assert [sample[0] for sample in shown(api)["data"]["a"]] == [None, 1, 2, 3]


def test_empty_body_is_a_sign_of_life(api: Rest) -> None:
    answer = api.ask("POST", "/devices/d1/updates")
    assert answer.status_code == 200, answer.text
    found = shown(api)
    assert (found["state"], found["data"]) == ("active", {})
    assert found["last_ping"] is not None


@pytest.mark.parametrize(
    "body",
    [
        {"sampels": [["a", 1]]},
        {"seq": 1},
        {"ts": 1},
        {"key": "a"},
        {"key": "a", "value": 1, "data": {"a": 1}},
        {"samples": []},
        {"expect_every_s": 0},
        {"expect_every_s": 7 * 24 * 3600 + 1},
        {"results": [{"command_id": "c"}]},
        {"results": [{"command_id": "c", "ok": 1}]},
        {"seen": "c"},
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    api: Rest, body: dict[str, Any]
) -> None:
    refused(api, 400, "invalid_request", **body)
    assert api.store.index.get("d1") is None


def test_numbered_updates_are_stored_once_per_stream(api: Rest) -> None:
    assert send(api, key="a", value=1, seq=1, stream="x")["last_seq"] == 1
    again = send(api, key="a", value=1, seq=1, stream="x")
    assert (again["duplicate"], again["last_seq"]) == (True, 1)
    assert send(api, key="a", value=9, seq=1, stream="y")["last_seq"] == 1
    assert send(api, key="a", value=2, seq=2, stream="x")["last_seq"] == 2
    gap = refused(api, 409, "conflict", key="a", value=4, seq=4, stream="x")
    assert gap["expected_seq"] == 3
    assert [sample[0] for sample in shown(api)["data"]["a"]] == [1, 9, 2]
    assert send(api, stream="y")["last_seq"] == 1


def test_device_whose_session_was_deleted_counts_from_what_is_expected(api: Rest) -> None:
    for seq in (1, 2):
        send(api, key="a", value=seq, seq=seq, stream="x")
    api.ask("DELETE", "/sessions/d1")
    seq = refused(api, 409, "conflict", key="a", value=3, seq=3, stream="x")["expected_seq"]
    for value in (3, 4):
        assert "duplicate" not in send(api, key="a", value=value, seq=seq + value - 3, stream="x")
    assert [sample[0] for sample in shown(api)["data"]["a"]] == [3, 4]


def test_device_whose_update_is_refused_was_heard_of_all_the_same(api: Rest) -> None:
    refused(api, 409, "conflict", key="a", value=4, seq=4, expect_every_s=3600)
    assert (shown(api)["state"], shown(api)["expect_every_s"]) == ("active", 3600)


def test_setup_comes_with_the_answer_where_it_is_newer_than_what_the_device_runs(
    api: Rest,
) -> None:
    send(api)
    api.ask("PUT", "/sessions/d1/setup", {"setup": {"screen": "night"}})
    answer = send(api)
    assert (answer["setup"], answer["setup_version"]) == ({"screen": "night"}, 1)
    assert "setup" not in send(api, reported_version=1)
    assert shown(api)["in_sync"]
    assert "setup" not in send(api)
    assert send(api, reported_version=0)["setup"] == {"screen": "night"}


def test_command_is_collected_seen_and_its_result_handed_in_twice(api: Rest) -> None:
    send(api)
    command_id = command(api, params={"hard": True}).json["command_id"]
    [collected] = api.get("/devices/d1/commands")["commands"]
    assert collected == {
        "command_id": command_id,
        "command": "reboot",
        "params": {"hard": True},
        "attempt": 1,
    }
    assert send(api)["commands"][0]["attempt"] == 2
    assert send(api, seen=[command_id])["commands"] == []
    assert api.get(f"/sessions/d1/commands/{command_id}")["status"] == "delivered"
    results = [
        {"command_id": command_id, "ok": True, "result": {"took": 3}},
        {"command_id": "unknown", "ok": False, "error": "?"},
    ]
    for _ in range(2):
        done, unknown = send(api, results=results)["results"]
        assert done == {"command_id": command_id, "status": "succeeded"}
        assert unknown["error"]["code"] == "command_not_found"
    assert api.get(f"/sessions/d1/commands/{command_id}")["result"] == {"took": 3}


def test_results_have_their_effect_before_samples_and_these_before_the_version(
    api: Rest,
) -> None:
    send(api)
    api.ask("PUT", "/sessions/d1/setup", {"setup": 1})
    command_id = command(api).json["command_id"]
    last = api.store.samples.open_feed(0).last
    results = [{"command_id": command_id, "ok": True}]
    send(api, key="a", value=1, results=results, reported_version=1)
    rows = api.redis.xrange(api.store.keys.feed(0), min=f"{last + 1}-0")
    seen = [
        "version" if fields.get("reported_version") == "1" else next(iter(fields))
        for _, fields in rows
    ]
    assert [one for one in seen if one != "state"] == ["command", "data", "version"]


def test_results_have_their_effect_where_the_update_is_refused(api: Rest) -> None:
    send(api)
    command_id = command(api).json["command_id"]
    results = [{"command_id": command_id, "ok": False, "error": "no"}]
    told = refused(api, 409, "conflict", key="a", value=1, seq=7, results=results)
    assert told["results"] == [{"command_id": command_id, "status": "failed"}]


def test_result_that_is_too_large_ends_its_command_without_it(api: Rest) -> None:
    send(api)
    command_id = command(api).json["command_id"]
    results = [{"command_id": command_id, "ok": True, "result": "x" * 70_000}]
    assert send(api, results=results)["results"][0]["status"] == "succeeded"
    assert api.get(f"/sessions/d1/commands/{command_id}")["error"]["code"] == "too_large"


def test_while_a_socket_owns_the_session_it_gets_the_commands(api: Rest) -> None:
    device = api.device("d1")
    command(api)
    answer = send(api, key="a", value=1, seq=1, stream="http")
    assert (answer["connected"], answer["commands"]) == (True, [])
    waited = api.get("/devices/d1/commands?wait_s=50")
    assert (waited["connected"], waited["commands"]) == (True, [])
    fields = api.store.index.get("d1") or {}
    assert (fields["sid"], fields["is_connected"]) == (device.sid, "1")
    assert [sample[0] for sample in shown(api)["data"]["a"]] == [1]


def test_waiting_request_is_answered_as_soon_as_there_is_a_command(api: Rest) -> None:
    waiting = Waiting(api, 30)
    queued = command(api, ttl_s=0)
    assert queued.status_code == 202, queued.text
    [message] = [one for one in api.messages.said if one[1] == "deliver"]
    assert message == (NODE, "deliver", {"session_id": "d1"})
    api.device_waits.on_deliver(message[2])
    answer = waiting.join()
    assert [one["command"] for one in answer.json["commands"]] == ["reboot"]
    assert problem(command(api, ttl_s=0), 409, "device_offline")


def test_time_of_a_waiting_request_ends_without_a_command(api: Rest) -> None:
    assert Waiting(api, 0.1).join().json["commands"] == []
    assert api.device_waits.count == 0
    assert not api.redis.exists(api.store.keys.waiting("d1"))


def test_delete_ends_a_waiting_request_and_is_not_undone_by_it(api: Rest) -> None:
    waiting = Waiting(api, 30)
    assert api.ask("DELETE", "/sessions/d1").status_code == 204
    api.device_waits.on_deliver({"session_id": "d1"})  # instead of its next look
    problem(waiting.join(), 404, "session_not_found")
    assert api.store.index.get("d1") is None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_page_of_another_origin_cannot_act_as_a_device(api: Rest, method: str) -> None:
    """A browser sends no Origin with an image or a form, but says where the page is from."""
    path = "/devices/d1/" + {"GET": "commands", "POST": "updates"}[method]
    answer = api.ask(method, path, headers={"Sec-Fetch-Site": "cross-site"})
    problem(answer, 403, "not_allowed")
    assert api.store.index.get("d1") is None
    assert api.ask("OPTIONS", path).status_code == 200


def test_later_request_of_a_device_ends_the_one_that_waits(api: Rest) -> None:
    first = Waiting(api, 30)
    second = Waiting(api, 30)
    problem(first.join(), 409, "conflict")
    assert second.answer is None
    api.device_waits.end()
    problem(second.join(), 503, "draining")
    problem(api.ask("GET", "/devices/d1/commands?wait_s=1"), 503, "draining")


def test_waiting_requests_are_bounded_per_address(redis_url: str, key_prefix: str) -> None:
    with rest(redis_url, key_prefix, most_per_address=1) as api:
        first = Waiting(api, 30)
        beyond = api.ask("GET", "/devices/d2/commands?wait_s=1")
        problem(beyond, 503, "overloaded")
        api.device_waits.end()
        first.join()


def test_device_that_sends_too_much_is_told_when_to_come_again(
    redis_url: str, key_prefix: str
) -> None:
    with rest(redis_url, key_prefix, limits={"events_per_s": 2}) as api:
        for _ in range(2):
            send(api)
        told = refused(api, 429, "rate_limited")
        assert 0 < told["retry_after_s"] <= 1
        send(api, "another")


@pytest.mark.parametrize("name", ["ts", "seq"])
def test_telemetry_takes_no_time_and_no_number(api: Rest, name: str) -> None:
    body = {"telemetry": {"a": 1}, name: 1}
    told = problem(
        api.ask("POST", f"/sessions/{api.create()}/telemetry", body), 400, "invalid_request"
    )
    assert f"'{name}'" in told["message"]


def test_examples_of_the_description_work_as_they_are(api: Rest) -> None:
    described = api.client.get(f"{BASE}/openapi.json").json
    assert described is not None
    [parameter] = described["paths"][f"{BASE}/devices/{{device_id}}/updates"]["post"]["parameters"]
    for example in described["components"]["schemas"]["DeviceReport"]["examples"]:
        send(api, parameter["example"], **example)
    commands = described["paths"][f"{BASE}/devices/{{device_id}}/commands"]["get"]
    wait_s = {one["name"]: one for one in commands["parameters"]}["wait_s"]["example"]
    command(api, "meter-7")  # else it would wait
    assert api.get(f"/devices/meter-7/commands?wait_s={wait_s}")["commands"]
