"""The examples of the OpenAPI document work when they are sent as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.clients.rest import Rest, rest
from tests.support.pages import describe_api

DESCRIPTION = describe_api()
OPERATIONS = [
    (method, path, operation)
    for path, item in DESCRIPTION["paths"].items()
    for method, operation in item.items()
]
#: What the service alone makes, so an example can only show its form.
MADE_BY_THE_SERVICE = {"command_id", "batch_id", "job_id"}


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    """With the session of the examples, which has three setups."""
    with rest(redis_url, key_prefix) as made:
        made.store.ownership.create("kiosk-7", "Hall 2", "plant 7")
        made.manager.update_telemetry("kiosk-7", {"temperature": 20})
        for number in range(3):
            made.manager.update_setup("kiosk-7", {"volume": number})
        made.manager.undo_setup("kiosk-7")
        yield made


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[one[2]["operationId"] for one in OPERATIONS]
)
def test_each_operation_is_answered_as_the_example_promises(
    api: Rest, method: str, path: str, operation: dict[str, Any]
) -> None:
    """Ids of the service's own making are refused as unknown, and what needs an archive without one as such."""
    address, names = path, []
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            names.append(parameter["name"])
            value = quote(parameter["example"], safe="")
            address = address.replace(f"{{{parameter['name']}}}", value)
    contents = operation.get("requestBody", {}).get("content", {})
    for kind, content in contents.items() or [("", None)]:
        body = {} if content is None else {"json": content["example"]}
        headers = {"Content-Type": kind} if kind else {}
        answer = api.client.open(address, method=method.upper(), headers=headers, **body)
        if (
            "rchive" in operation["operationId"]
            or "quarantine" in path
            or path.endswith("/restore")
        ):
            assert answer.status_code in (200, 202, 404, 409), answer.text
        elif MADE_BY_THE_SERVICE & set(names) or path.endswith("/cleanup"):
            assert answer.status_code in (200, 404), answer.text
        else:
            assert answer.status_code < 300, answer.text
