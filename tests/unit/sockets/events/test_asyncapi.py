"""The AsyncAPI document: whole in itself, and as the protocol, the table of roles and the parsers are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ServiceError
from service.schema.samples import parse_telemetry, parse_update
from service.security import permissions
from service.sockets.events import asyncapi, outgoing, payloads
from service.sockets.events.payloads import CLIENT_EVENTS
from tests.support.schemas import DOCUMENT, payload_of

PROTOCOL = (Path(__file__).parents[4] / "docs" / "protocol.md").read_text()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def found_at(pointer: str) -> Any:
    place: Any = DOCUMENT
    for name in pointer.removeprefix("#/").split("/"):
        place = place[name]
    return place


def test_every_reference_leads_somewhere() -> None:
    pointers = set(references(DOCUMENT))
    assert len(pointers) > 100
    for pointer in pointers:
        found_at(pointer)


def test_every_operation_sends_messages_of_its_channel() -> None:
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] == name.partition("_")[0]
        for part in (operation, operation.get("reply", operation)):
            channel = part["channel"]["$ref"]
            for message in part["messages"]:
                assert message["$ref"].startswith(channel + "/messages/")


def test_every_message_and_schema_is_used() -> None:
    pointers = set(references(DOCUMENT))
    for kind in ("messages", "schemas"):
        for name in DOCUMENT["components"][kind]:
            assert f"#/components/{kind}/{name}" in pointers, name
    used = {
        message["$ref"]
        for operation in DOCUMENT["operations"].values()
        for part in (operation, operation.get("reply", {"messages": []}))
        for message in part["messages"]
    }
    assert used == {
        f"#/channels/events/messages/{name}" for name in DOCUMENT["channels"]["events"]["messages"]
    }


def test_schemas_are_json_schema_draft_7() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema_rs.Draft7Validator({**schema, "components": DOCUMENT["components"]})
        assert "prefixItems" not in str(schema), name
        assert re.fullmatch(r"[A-Za-z]+", name)  # two models of one name would have longer ones


def test_events_are_those_of_the_protocol_in_both_directions() -> None:
    sections = dict(
        re.findall(r"^### `(\w+)`\n\n(.*?)(?=^##|\Z)", PROTOCOL, re.MULTILINE | re.DOTALL)
    )
    sent = {event for event, text in sections.items() if text.startswith("From the service")}
    both = {event for event, text in sections.items() if text.startswith("In both directions")}
    operations = DOCUMENT["operations"].keys()
    told = {name.removeprefix("send_") for name in operations if name.startswith("send_")}
    taken = {name.removeprefix("receive_") for name in operations if name.startswith("receive_")}
    assert told == sent | both
    assert taken == (sections.keys() - sent) | {"connect"}


def test_events_are_those_that_are_handled() -> None:
    assert asyncapi.CLIENT_WORDS.keys() == CLIENT_EVENTS.keys() == outgoing.ACKS.keys()
    assert asyncapi.SERVER_WORDS.keys() == outgoing.SERVER_EVENTS.keys()


def test_roles_are_those_that_are_enforced() -> None:
    for event, right in permissions.EVENTS.items():
        assert set(DOCUMENT["operations"][f"receive_{event}"]["x-roles"]) == right.roles


def test_codes_of_errors_are_those_of_the_protocol() -> None:
    codes = re.findall(r"^\| `(\w+)` \| \d{3} \|", PROTOCOL, re.MULTILINE)
    shown = DOCUMENT["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
    assert shown == sorted(codes)


@pytest.mark.parametrize(
    ("event", "payload", "fits"),
    [
        ("register", {}, True),
        ("register", {"device_id": "a", "meta": {"model": "m"}, "stream": ""}, True),
        ("register", {"device_id": ""}, False),
        ("register", {"device_id": "a\n"}, False),
        ("update_setup", {"reported_version": 3}, True),
        ("update_setup", {"device_id": "a", "patch": None}, True),
        ("register_vue", {"scope": {"sessions": ["a"]}}, True),
        ("register_vue", {"scope": {"sessions": []}}, False),
        ("register_vue", {"scope": {"sessions": ["a"], "project_id": "p"}}, False),
        ("register_vue", {"scope": "all"}, False),
        ("register_vue", {"interval_ms": 5}, False),
        ("get_active_session", {"device_id": "a"}, True),
        ("get_active_session", {"session_id": "a"}, True),
        ("get_active_session", {}, False),
        ("get_active_sessions", {"limit": 501}, False),
        ("send_command", {"session_id": "a", "command": "x", "wait": "result"}, True),
        ("send_command", {"session_id": "a", "command": "x", "wait": "no"}, False),
        ("command_result", {"command_id": "a"}, False),
        ("connect", {"token": "a.b.c"}, True),
    ],
)
def test_schema_says_what_is_taken(event: str, payload: Any, fits: bool) -> None:
    assert payload_of(f"client.{event}").is_valid(payload) is fits


# -- samples: read by hand, described by models

names = st.sampled_from(["speed", "a", "x" * 256, "ä" * 200, "", "a\n", 5, None])
levels = st.recursive(
    st.one_of(st.integers(-5, 5), st.text(max_size=3), st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
deep: Any = 1
for _ in range(33):
    deep = [deep]
values = levels | st.just(deep)
times = st.sampled_from([0, 1.5, 253_402_300_799, 253_402_300_800, -1, "1", None, True, 1e300])
numbers = st.sampled_from([1, 2**53 - 1, 2**53, 0, -1, 1.0, True, "1", None])
rows = st.one_of(
    st.tuples(names, values).map(list),
    st.tuples(names, values, times).map(list),
    st.sampled_from([[], ["a"], ["a", 1, 2, 3], "ab", {"a": 1}, None]),
)
objects = st.one_of(
    st.dictionaries(names.filter(lambda name: isinstance(name, str)), values, max_size=3),
    st.sampled_from([None, [], "a", dict.fromkeys(map(str, range(2001)), 1)]),
)
updates = st.fixed_dictionaries(
    {},
    optional={
        "key": names,
        "value": values,
        "data": objects,
        "samples": st.lists(rows, max_size=3) | st.sampled_from([None, {}, [["a", 1]] * 2001]),
        "telemetry": objects,
        "ts": times,
        "seq": numbers,
        "other": values,
    },
)


def is_taken(parse: Any, payload: Any) -> bool:
    try:
        parse(payload)
    except ServiceError:
        return False
    return True


@given(payload=updates)
def test_model_of_update_data_takes_what_its_parser_takes(payload: Any) -> None:
    taken = is_taken(lambda one: parse_update(one, 1.0), payload)
    assert is_taken(payloads.UpdateData.parse, payload) == taken
    if taken:
        assert payload_of("client.update_data").is_valid(payload)


@given(payload=updates)
def test_model_of_update_telemetry_takes_what_its_parser_takes(payload: Any) -> None:
    taken = is_taken(lambda one: parse_telemetry(one, 1.0), payload)
    assert is_taken(payloads.UpdateTelemetry.parse, payload) == taken
    if taken:
        assert payload_of("client.update_telemetry").is_valid(payload)
