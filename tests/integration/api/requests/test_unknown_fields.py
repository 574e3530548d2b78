"""REST: every route refuses what it does not know, in its query and in its body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, rest

METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def api(redis_url: str) -> Iterator[Rest]:
    with rest(redis_url, "t-unknown") as made:
        yield made
        for key in made.redis.scan_iter("*t-unknown*"):
            made.redis.delete(key)


def operations(api: Rest) -> Iterator[tuple[str, str, dict[str, Any]]]:
    document = api.client.get("/api/v1/openapi.json").json
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield method.upper(), re.sub(r"\{\w+\}", "1", path), item[method]


def test_every_route_refuses_an_unknown_parameter(api: Rest) -> None:
    for method, path, operation in operations(api):
        answer = api.client.open(path + "?colour=red", method=method, json={})
        told = problem(answer, 400, "invalid_request")
        assert told["message"] == "unknown parameter 'colour'", operation["operationId"]


def test_every_route_refuses_an_unknown_field_of_its_body(api: Rest) -> None:
    """Also one that takes no body: what is in it would not be done. A merge patch is data, not a request."""
    seen = set()
    for method, path, operation in operations(api):
        body = operation.get("requestBody")
        if body and "application/merge-patch+json" in body["content"]:
            continue
        seen.add(method)
        answer = api.client.open(path, method=method, json={"colour": "red"})
        told = problem(answer, 400, "invalid_request")
        assert "unknown field 'colour'" in told["message"], operation["operationId"]
    assert seen == {"GET", "PUT", "POST", "DELETE"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/commands", '{"command":"c","filter":{"project_id":"a","project_id":"b"}}'),
        ("/sessions/cleanup", '{"dry_run":true,"dry_run":false}'),
    ],
)
def test_body_with_a_field_twice_is_refused(api: Rest, path: str, body: str) -> None:
    """What reads the first one, such as a proxy, and what is done would differ."""
    answer = api.client.post("/api/v1" + path, data=body, content_type="application/json")
    assert problem(answer, 400, "invalid_request")["message"].endswith("given more than once")


def test_every_body_is_described_as_it_is_read(api: Rest) -> None:
    document = api.client.get("/api/v1/openapi.json").json
    names = set()
    for _, _, operation in operations(api):
        for content in operation.get("requestBody", {"content": {}})["content"].values():
            names.add(content["schema"]["$ref"].rpartition("/")[2])
    bodies = [document["components"]["schemas"][name] for name in [*names, "Filter"]]
    described = [body for body in bodies if "properties" in body]
    assert len(described) >= 7
    assert all(body["additionalProperties"] is False for body in described)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b" {} "])
def test_route_without_a_body_takes_an_empty_one(api: Rest, body: bytes) -> None:
    """Libraries send one with every POST."""
    session_id = api.create()
    answer = api.client.delete(
        f"/api/v1/sessions/{session_id}", data=body, content_type="application/json"
    )
    assert answer.status_code == 204, answer.text


@pytest.mark.parametrize(
    "body", [b'{"version": 3}', b"[1]", b"version=3", b"{" * 5000, b'{"a": "' + b"x" * 100_000]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_route_without_a_body_refuses_what_would_not_be_done(
    api: Rest, body: bytes, chunked: bool
) -> None:
    session_id = api.create()
    api.ask("PUT", f"/sessions/{session_id}/setup", {"setup": 1})
    options: dict[str, Any] = {"data": body, "content_type": "application/json"}
    if chunked:
        options["headers"] = {"Transfer-Encoding": "chunked"}
        options["environ_overrides"] = {"CONTENT_LENGTH": ""}
    answer = api.client.post(f"/api/v1/sessions/{session_id}/setup/undo", **options)
    problem(answer, 400, "invalid_request")
    assert api.get(f"/sessions/{session_id}/setup")["setup_version"] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/commands", {"command": "stop", "filter": {"project": "berlin"}}),
        ("/sessions/cleanup", {"dryrun": True, "purge": True}),
    ],
)
def test_misspelt_narrowing_does_nothing(api: Rest, path: str, body: Any) -> None:
    problem(api.ask("POST", path, body), 400, "invalid_request")
    assert json.loads(api.ask("GET", "/jobs").text)["jobs"] == []
