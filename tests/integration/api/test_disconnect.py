"""REST: a device is disconnected, and stays away for a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.api.test_devices import Waiting, send
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import NODE, Rest, rest


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


def test_socket_is_sent_kicked_and_closed(api: Rest) -> None:
    api.device("d1", sid="abc.1")
    answer = api.ask("POST", "/sessions/d1/disconnect")
    assert answer.json == {"session_id": "d1", "disconnected": True, "retry_after_s": 60}
    assert api.messages.said == [
        ("abc.1", "kicked", {"retry_after_s": 60}),
        ("abc.1", "disconnect"),
    ]
    assert api.get("/sessions/d1/timeline")["timeline"][-1]["event"] == "kicked"


def test_time_is_from_nothing_to_an_hour(api: Rest) -> None:
    api.create()
    for wrong in (-1, 3601, "60", None):
        answer = api.ask("POST", "/sessions/d1/disconnect", {"retry_after_s": wrong})
        problem(answer, 400, "invalid_request")
    problem(api.ask("POST", "/sessions/d1/disconnect", {}), 404, "session_not_found")


def test_report_of_a_device_that_was_sent_away_has_no_effect_at_all(api: Rest) -> None:
    send(api, data={"t": 1}, expect_every_s=60)
    command = api.ask("POST", "/sessions/d1/commands", {"command": "reboot"}).json["command_id"]
    api.ask("POST", "/sessions/d1/disconnect", {"retry_after_s": 30})
    before = api.get("/sessions/d1")
    report = {"data": {"t": 2}, "results": [{"command_id": command, "ok": True}]}
    for answer in (
        api.ask("POST", "/devices/d1/updates", report),
        api.ask("GET", "/devices/d1/commands"),
        api.ask("GET", "/devices/d1/commands?wait_s=5"),
    ):
        refused = problem(answer, 429, "rate_limited")
        assert 0 < refused["retry_after_s"] <= 30
        assert 0 < int(answer.headers["Retry-After"]) <= 30
    assert api.get("/sessions/d1") == before
    assert api.get(f"/sessions/d1/commands/{command}")["status"] == "queued"


def test_request_that_waits_ends_when_its_device_is_sent_away(api: Rest) -> None:
    send(api, expect_every_s=60)
    waiting = Waiting(api, 20)
    answer = api.ask("POST", "/sessions/d1/disconnect")
    assert answer.json["disconnected"]
    assert api.messages.said == [(NODE, "deliver", {"session_id": "d1"})]
    api.device_waits.on_deliver(api.messages.said[0][2])
    problem(waiting.join(), 429, "rate_limited")
