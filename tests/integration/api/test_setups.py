"""REST: setups with versions, merge patches, undo and redo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, rest


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


def test_setup_goes_to_the_device_and_back(api: Rest) -> None:
    api.device("d", sid="abc.1")
    answer = api.ask("PUT", "/sessions/d/setup", {"setup": {"interval_s": 5}})
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"1"'
    assert answer.json["setup"] == {"interval_s": 5}
    assert answer.json["in_sync"] is False
    assert answer.json["setup_timestamp"].endswith("Z")
    assert ("abc.1", "setup", {"setup": {"interval_s": 5}, "setup_version": 1}) in api.messages.said
    assert api.get("/sessions/d/setup")["setup_version"] == 1


@pytest.mark.parametrize("kind", ["application/merge-patch+json", "application/json"])
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": None}, "e": [1]}, {"a": 1, "b": {"d": 3}, "e": [1]}),
        ({"a": 1}, {"a": {"b": None}}, {"a": {}}),
        ({"a": 1}, [1, 2], [1, 2]),
        ([1], {"a": 1}, {"a": 1}),
        ({"a": 1}, None, None),
        ({"a": "b"}, "c", "c"),
    ],
)  # fmt: skip
def test_patch_is_rfc_7396(api: Rest, kind: str, target: Any, patch: Any, result: Any) -> None:
    session_id = api.create()
    api.ask("PUT", f"/sessions/{session_id}/setup", {"setup": target})
    answer = api.client.patch(
        f"/api/v1/sessions/{session_id}/setup", data=json.dumps(patch), content_type=kind
    )
    assert answer.status_code == 200, answer.text
    assert answer.json["setup"] == result


def test_if_match_refuses_what_another_changed(api: Rest) -> None:
    session_id = api.create()
    url = f"/sessions/{session_id}/setup"
    api.ask("PUT", url, {"setup": 1})
    for method, path, body in (
        ("PUT", url, {"setup": 2}),
        ("PATCH", url, {"a": 1}),
        ("POST", url + "/undo", None),
    ):
        for tag in ('"7"', 'W/"1"', '"x"', '"7", "8"'):
            refused = api.ask(method, path, body, headers={"If-Match": tag})
            problem(refused, 412, "precondition_failed")
            assert refused.json["setup_version"] == 1
    for tag in ('"1"', '"9", "2"', "*"):
        assert api.ask("PUT", url, {"setup": 3}, headers={"If-Match": tag}).status_code == 200
    assert api.get(url)["setup_version"] == 4


def test_if_none_match_answers_304_until_it_changes(api: Rest) -> None:
    session_id = api.create()
    url = f"/sessions/{session_id}/setup"
    tag = api.ask("GET", url).headers["ETag"]
    assert api.ask("GET", url, headers={"If-None-Match": tag}).status_code == 304
    api.ask("PUT", url, {"setup": 1})
    assert api.ask("GET", url, headers={"If-None-Match": tag}).status_code == 200


def test_undo_and_redo_until_there_is_nothing(api: Rest) -> None:
    session_id = api.create()
    url = f"/sessions/{session_id}/setup"
    for setup in (1, 2):
        api.ask("PUT", url, {"setup": setup})
    assert api.ask("POST", url + "/undo").json["setup"] == 1
    undone = api.ask("POST", url + "/undo").json
    assert (undone["setup"], undone["undo_available"], undone["redo_available"]) == (
        None,
        False,
        True,
    )
    problem(api.ask("POST", url + "/undo"), 409, "conflict")
    assert api.ask("POST", url + "/redo").json["setup"] == 1
    assert api.ask("POST", url + "/redo").json["setup"] == 2
    problem(api.ask("POST", url + "/redo"), 409, "conflict")


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b'{"setup": 1', "application/json", 400, "invalid_request"),
        (b"", "application/json", 400, "invalid_request"),
        (b"[]", "application/json", 400, "invalid_request"),
        (b"null", "application/json", 400, "invalid_request"),
        (b"{}", "application/json", 400, "invalid_request"),
        (b'{"setup": NaN}', "application/json", 400, "invalid_request"),
        (b'{"setup": 1e999}', "application/json", 400, "invalid_request"),
        (b'{"setup": "\xff"}', "application/json", 400, "invalid_request"),
        (b'{"setup": "\\ud800"}', "application/json", 400, "invalid_request"),
        (b'{"setup": ' + b"[" * 33 + b"]" * 33 + b"}", "application/json", 400, "invalid_request"),
        (b'{"setup": ' + b"[" * 99999 + b"]" * 99999 + b"}", "application/json", 400, "invalid_request"),
        (b'{"setup": "' + b"x" * 65536 + b'"}', "application/json", 413, "too_large"),
        (b'{"setup": "' + b"x" * (1 << 20) + b'"}', "application/json", 413, "too_large"),
        (b'{"setup": 1}', "text/plain", 415, "invalid_request"),
        (b'{"setup": 1}', "", 415, "invalid_request"),
        (b'{"setup": 1}', "application/x-www-form-urlencoded", 415, "invalid_request"),
        (b'{"setup": 1}', "application/merge-patch+json", 415, "invalid_request"),
    ],
)  # fmt: skip
def test_wrong_bodies_are_refused_and_change_nothing(
    api: Rest, body: bytes, kind: str, status: int, code: str
) -> None:
    session_id = api.create()
    response = api.client.put(
        f"/api/v1/sessions/{session_id}/setup", data=body, content_type=kind or None
    )
    problem(response, status, code)
    assert api.get(f"/sessions/{session_id}/setup")["setup_version"] == 0
