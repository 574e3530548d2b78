"""What every door accepts: one rule of a name, one of a depth, and the same in what is published."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from service import errors
from service.api.models import requests
from service.api.parsing import AnyJson
from service.live.feed.scope import Scope
from service.schema import fields, names
from service.schema.limits import MAX_DEPTH, MAX_VALUE_BYTES
from service.schema.names import check_name, is_name, known_id
from service.schema.samples import parse_telemetry, parse_update
from service.schema.values import check_value
from service.security.tokens import Tokens
from service.sockets.events import payloads

ROOT = Path(__file__).parents[3]

#: No text for a new name.
REFUSED = ["", "\x00", "a\n", "\x7f", "\x85", "a\u2028b", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069",
           "a\u200b", "\ufeffa", "a\u2060b", "\u00ad", "\u180e", "\u2064", "\U000e0041", "é\U000e0041", "\u3164",
           "a\u200e", "é\u200f", "\u061c", "\u034f", "\ufff0", "\U0001d173",
           "\u200d", "a\u200d", "kiosk\ufe0f-7", "é\u200d\u200d\u200d", "a\U000e0100",
           "\ud800", "x" * 257, "é" * 129]  # fmt: skip
TAKEN = [
    "a",
    " ",
    "é" * 128,
    "x" * 256,
    "日本",
    "🚚",
    "\u00a0",
    "\ufffe",
    "می\u200cخواهم",
    "क्\u200dष",
    "👩\u200d❤\ufe0f\u200d👩 1",
    "葛\U000e0100",
    "ᠠ\u180b",
    "../..",
    "%00",
    "<b>",
]

#: Every door at which something new gets a name.
NEW: dict[str, Callable[[str], Any]] = {
    "SessionManager, import": lambda name: check_name("name", name),
    "register": lambda name: payloads.Register.parse({"device_id": name}),
    "register: project_id": lambda name: payloads.Register.parse({"project_id": name or "\n"}),
    "update_data: key": lambda name: parse_update({"key": name, "value": 1}, 1.0),
    "update_data: data": lambda name: parse_update({"data": {name: 1}}, 1.0),
    "update_data: samples": lambda name: parse_update({"samples": [[name, 1]]}, 1.0),
    "update_data: described": lambda name: payloads.UpdateData.parse({"key": name, "value": 1}),
    "update_telemetry": lambda name: parse_telemetry({"telemetry": {name: 1}}, 1.0),
    "send_command": lambda name: payloads.SendCommand.parse({"device_id": "d", "command": name}),
    "POST …/telemetry": lambda name: requests.Telemetry.parse({"telemetry": {name: 1}}),
    "POST …/commands": lambda name: requests.NewCommand.parse({"command": name}),
    "POST /sessions": lambda name: requests.NewSession.parse({"session_name": name or "\n"}),
}
#: Every door that names something that is there.
KNOWN: dict[str, Callable[[str], Any]] = {
    "SessionManager": known_id,
    "get_active_session": lambda name: payloads.OneSession.parse({"device_id": name}),
    "send_command": lambda name: payloads.SendCommand.parse({"device_id": name, "command": "c"}),
    "update_setup": lambda name: payloads.SetupEdit.parse({"session_id": name, "setup": 1}),
    "register_vue: sessions": lambda name: Scope.parse({"sessions": [name]}),
    "register_vue: project": lambda name: Scope.parse({"project_id": name}),
    "path of a session": lambda name: requests.SessionPath.parse({"session_id": name}),
    "path of a key": lambda name: requests.KeyPath.parse({"session_id": "d", "key": name}),
    "bulk command": lambda name: requests.BulkCommand.parse(
        {"command": "c", "session_ids": [name]}
    ),
}


@pytest.mark.parametrize("door", NEW)
def test_every_door_refuses_the_same_new_names(door: str) -> None:
    for name in REFUSED:
        with pytest.raises((errors.InvalidRequest, errors.TooLarge)):
            NEW[door](name)
            pytest.fail(f"it takes {name!r}")


@pytest.mark.parametrize("door", NEW)
def test_every_door_takes_the_same_new_names(door: str) -> None:
    for name in TAKEN:
        NEW[door](name)


@pytest.mark.parametrize("claims", ["device", "prefix", "projects"])
def test_tokens_follow_the_rule_of_names(claims: str) -> None:
    tokens = Tokens("s" * 32, lambda: 1_000.0)

    def issue(name: str) -> object:
        if claims == "projects":
            return tokens.issue("viewer", projects=[name])
        return tokens.issue("device", **{claims: name})

    for name in TAKEN:
        if claims != "prefix" or is_name(name + "-"):
            issue(name + "-" if claims == "prefix" else name)
    for name in filter(None, REFUSED):
        with pytest.raises((ValueError, UnicodeEncodeError)):
            issue(name + "-" if claims == "prefix" else name)


@pytest.mark.parametrize("door", KNOWN)
def test_what_is_there_is_named_by_any_text(door: str) -> None:
    """A stricter rule never makes a session that exists unreachable."""
    for name in [*TAKEN, *REFUSED]:
        if name not in ("", "\ud800"):
            KNOWN[door](name)
    for name in ("", "\ud800"):
        with pytest.raises(errors.InvalidRequest):
            KNOWN[door](name)
            pytest.fail(f"it takes {name!r}")


def test_published_pattern_says_of_every_code_point_what_the_rule_says() -> None:
    """OpenAPI and AsyncAPI are made of these; U+D800–DFFF are no text of JSON."""
    name = jsonschema_rs.validator_for(fields.NAME)
    words = jsonschema_rs.validator_for(fields._WORDS)

    def said(text: str) -> set[bool]:
        return {is_name(text), name.is_valid(text), words.is_valid(text)}

    wrong = []
    codes = [*range(0xD800), *range(0xE000, 0x110000)]
    for first in range(0, len(codes), 50):
        some = codes[first : first + 50]
        # Hyphens keep each from joining the one before it. Where all say yes to all, they say so of each.
        if said("-".join(["", *map(chr, some), ""])) != {True}:
            wrong += [hex(code) for code in some if len(said(chr(code))) > 1]
    assert wrong == []
    both = [
        (text, is_name(text), name.is_valid(text))
        for text in [*TAKEN, *filter(None, REFUSED)]
        if len(text) < 100 and text != "\ud800"
    ]
    assert [text for text, one, other in both if one != other] == []
    for shown in (orjson.dumps(payloads.Register.model_json_schema()),
                  orjson.dumps(requests.NewSession.model_json_schema())):  # fmt: skip
        assert orjson.dumps(names.LETTER)[1:-1] in shown


def nested(levels: int, inner: Any) -> Any:
    for _ in range(levels):
        inner = [inner]
    return inner


DEEP: dict[str, Callable[[Any], Any]] = {
    "update_data": lambda value: parse_update({"key": "k", "value": value}, 1.0),
    "update_data: described": lambda value: payloads.UpdateData.parse({"key": "k", "value": value}),
    "setup of a device": lambda value: payloads.DeviceSetup.parse({"setup": value}),
    "REST": lambda value: AnyJson.model_validate(value),
    "SessionManager": lambda value: check_value("value", value, MAX_VALUE_BYTES),
}


@pytest.mark.parametrize("door", DEEP)
@pytest.mark.parametrize("inner", [1, "x" * 100, [], {}], ids=repr)
def test_every_door_takes_the_same_depth(door: str, inner: Any) -> None:
    own = 1 if inner in ([], {}) else 0
    DEEP[door](nested(MAX_DEPTH - own, inner))
    with pytest.raises((errors.InvalidRequest, ValueError)):
        DEEP[door](nested(MAX_DEPTH - own + 1, inner))


def test_schema_lies_below_all_that_uses_it() -> None:
    """What every door accepts is known without sessions, sockets, Redis."""
    for path in (ROOT / "service/schema").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{one.name}" for one in node.names]
            elif isinstance(node, ast.Import):
                modules = [one.name for one in node.names]
            ours = [one for one in modules if one.split(".")[0] in ("service", "workers", "muster")]
            for one in ours:
                assert one.startswith(("service.schema.", "service.errors")), f"{path.name}: {one}"


def test_bounds_of_input_are_stated_once() -> None:
    """A bound that a door writes down for itself is a second rule of the same thing."""
    stated = set(
        re.findall(r"^([A-Z_]+) = ", (ROOT / "service/schema/limits.py").read_text(), re.MULTILINE)
    )
    again = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*ROOT.glob("service/**/*.py"), *ROOT.glob("workers/**/*.py")]
        if path.name != "limits.py"
        for name in re.findall(r"^([A-Z_]+)(?:: \w+)? = ", path.read_text(), re.MULTILINE)
        if name in stated
    ]
    assert again == []
