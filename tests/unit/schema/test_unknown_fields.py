"""A field that this version does not know is refused, by name, with the known one that was probably meant."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.api.models.requests import (
    BulkCommand,
    CleanupRequest,
    DataQuery,
    SessionsQuery,
    WholeSetup,
)
from service.errors import InvalidRequest
from service.live.feed.scope import Scope
from service.schema.fields import Report
from service.schema.unknown import MAX_SHOWN, unknown_among
from service.sockets.events import payloads
from service.sockets.events.payloads import CLIENT_EVENTS
from tests.support.schemas import DOCUMENT

#: Only what devices report may have more fields; an event that is not here refuses them.
REPORTS = {"register", "update_data", "update_telemetry", "command_result", "ping", "pong"}


@pytest.mark.parametrize("event", CLIENT_EVENTS)
def test_only_reports_of_devices_may_have_unknown_fields(event: str) -> None:
    for model in CLIENT_EVENTS[event]:
        assert issubclass(model, Report) == (event in REPORTS)
        schema = DOCUMENT["components"]["schemas"][model.__name__]
        assert (schema.get("additionalProperties") is False) == (event not in REPORTS)
        if event not in REPORTS:
            with pytest.raises(InvalidRequest, match="unknown field 'colour'"):
                model.parse({"colour": 1})
            assert all(is_closed(one) for one in objects(schema)), event


def objects(schema: Any) -> Iterator[Any]:
    """Every schema in it that describes an object by its fields."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for inner in schema.values():
            yield from objects(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from objects(inner)


def is_closed(schema: Any) -> bool:
    return schema.get("additionalProperties") is False


@pytest.mark.parametrize(
    ("parse", "given", "words"),
    [
        (BulkCommand.parse, {"command": "c", "filter": {"project": "berlin"}},
         "`filter`: unknown field 'project'; did you mean 'project_id'?"),
        (BulkCommand.parse, {"command": "c", "session_id": ["a"]}, "did you mean 'session_ids'?"),
        (BulkCommand.parse, {"command": "c", "filter": {}, "ttl": 0}, "did you mean 'ttl_s'?"),
        (CleanupRequest.parse, {"dryrun": True, "purge": True}, "did you mean 'dry_run'?"),
        (CleanupRequest.parse, {"maxInactiveHours": 9}, "did you mean 'max_inactive_hours'?"),
        (SessionsQuery.parse, {"project": "a"}, "unknown parameter 'project'; did you mean"),
        (DataQuery.parse, {"Limit": "1"}, "did you mean 'limit'?"),
        (WholeSetup.parse, {"setup": 1, "version": 3}, "unknown field 'version'"),
        (Scope.parse, {"project": "a"}, "scope: unknown field 'project'; did you mean"),
        (Scope.parse, {"project_id": "a", "state": "active"}, "scope: unknown field 'state'"),
        (payloads.SendCommand.parse, {"device_id": "d", "command": "c", "ttl": 0}, "'ttl_s'?"),
        (payloads.SetupStep.parse, {"device_id": "d", "setup_version": 3}, "'version'?"),
        (payloads.SetupEdit.parse, {"session_id": "d", "setup": 1, "vesion": 3}, "'version'?"),
        (payloads.DeviceSetup.parse, {"device_id": "d", "setup": 1, "vesion": 3}, "'version'?"),
        (payloads.ListSessions.parse, {"projectId": "a"}, "did you mean 'project_id'?"),
        (payloads.OneSession.parse, {"device": "d"}, "did you mean 'device_id'?"),
        (payloads.RegisterVue.parse, {"scopes": "fleet"}, "did you mean 'scope'?"),
    ],
)  # fmt: skip
def test_misspelt_narrowing_is_refused_with_the_field_that_was_meant(
    parse: Any, given: Any, words: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(given)
    assert words in caught.value.message


@pytest.mark.parametrize("name", ["a\nb", "\u202e", "\ud800", "", "x" * (MAX_SHOWN + 1), 5])
def test_unknown_name_that_might_deceive_is_not_repeated(name: object) -> None:
    assert unknown_among([name], ["a"]) == "unknown field"


def test_search_for_what_was_meant_is_quick_for_any_name() -> None:
    begun = time.process_time()
    unknown_among(["x" * 900_000], ["project_id"])
    unknown_among(dict.fromkeys(["a" * MAX_SHOWN, *map(str, range(100_000))]), ["project_id"] * 20)
    assert time.process_time() - begun < 0.5


def test_device_may_report_more_than_this_version_knows() -> None:
    """Firmware that is newer than the service goes on working."""
    assert payloads.Register.parse({"device_id": "d", "battery": 7}).session_id == "d"
    assert payloads.CommandResult.parse({"command_id": "c", "ok": True, "took_ms": 7}).ok
