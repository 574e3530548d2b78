"""REST: conditions of requests are honoured, or refused by name; never ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration.api.requests.test_unknown_fields import operations
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, rest


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


def test_if_none_match_star_protects_a_setup_from_being_overwritten(api: Rest) -> None:
    session_id = api.create()
    url = f"/sessions/{session_id}/setup"
    only_new = {"If-None-Match": "*"}
    assert api.ask("PUT", url, {"setup": 1}, headers=only_new).status_code == 200
    for method, body in (("PUT", {"setup": 2}), ("PATCH", {"a": 1})):
        refused = api.ask(method, url, body, headers=only_new)
        problem(refused, 412, "precondition_failed")
    assert api.get(url)["setup"] == 1


@pytest.mark.parametrize("value", ['"1"', 'W/"1"', '"*"', "", "*, *", '"0", "1"'])
def test_if_none_match_of_a_change_takes_a_star_alone(api: Rest, value: str) -> None:
    session_id = api.create()
    url = f"/sessions/{session_id}/setup"
    told = problem(
        api.ask("PUT", url, {"setup": 2}, headers={"If-None-Match": value}), 400, "invalid_request"
    )
    assert "If-None-Match" in told["message"]
    assert api.get(url)["setup_version"] == 0


@pytest.mark.parametrize(("tag", "status"), [('"0"', 200), ('"1"', 412), ("*", 200)])
def test_both_conditions_have_to_hold(api: Rest, tag: str, status: int) -> None:
    session_id = api.create()
    both = {"If-None-Match": "*", "If-Match": tag}
    answer = api.ask("PUT", f"/sessions/{session_id}/setup", {"setup": 2}, headers=both)
    assert answer.status_code == status


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "If-Unmodified-Since"])
def test_condition_is_described_or_refused_by_every_route(api: Rest, name: str) -> None:
    taken = set()
    for method, path, operation in operations(api):
        headers = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"}
        if name in headers:
            taken.add(re.sub(r"^\d|_\w+$", "", operation["operationId"]))
        elif method != "GET" or name != "If-None-Match":
            answer = api.client.open(path, method=method, headers={name: '"7"'}, json={})
            told = problem(answer, 400, "invalid_request")
            assert told["message"].startswith(f"`{name}`"), operation["operationId"]
    changes = {"put", "patch", "undo", "redo", "delete"}
    expected = {"If-Match": changes, "If-None-Match": {"get", "download", "put", "patch"}}
    assert taken == expected.get(name, set())


def test_refused_condition_changes_nothing(api: Rest) -> None:
    session_id = api.create()
    for path, body in (
        ("telemetry", {"telemetry": {"a": 1}}),
        ("commands", {"command": "c"}),
        ("archive", None),
        ("restore", None),
    ):
        url = f"/sessions/{session_id}/{path}"
        answer = api.ask("POST", url, body, headers={"If-Match": '"1-1"'})
        problem(answer, 400, "invalid_request")
    shown = api.get(f"/sessions/{session_id}")
    assert (shown["data"], shown["open_commands"]) == ({}, 0)


@pytest.mark.parametrize(
    "accept", ["application/json; charset=utf-8", "application/*", "*/*;q=0.1"]
)
def test_json_is_json_with_any_parameter(api: Rest, accept: str) -> None:
    session_id = api.create()
    answer = api.ask("GET", f"/sessions/{session_id}/data", headers={"Accept": accept})
    assert (answer.status_code, answer.content_type) == (200, "application/json")
