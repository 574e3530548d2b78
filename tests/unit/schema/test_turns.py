"""What one request may cost of the event loop at once: the worst legal ones take milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from service.api.models.requests import BulkCommand, NewCommand, Telemetry
from service.errors import InvalidRequest, ServiceError, TooLarge
from service.schema.samples import parse_update
from service.schema.values import check_depth, check_value
from service.sockets.events.payloads import Register, SendCommand
from service.sockets.watching.snapshot import Wish

#: As many as a message of 1 MiB holds.
LISTS: Any = [[]] * 340_000
NAMES = [f"\n{number:06}" for number in range(70_000)]
WIDE: Any = {f"k{number:06}": [] for number in range(70_000)}


@pytest.mark.parametrize(
    "work",
    [
        lambda: NewCommand.parse({"command": "c", "params": LISTS}),
        lambda: SendCommand.parse({"device_id": "d", "command": "c", "params": LISTS}),
        lambda: check_value("params", LISTS, 65_536),
        lambda: check_value("params", [None] * 12_000, 65_536),
        lambda: parse_update({"key": "a", "value": LISTS}, 1.0),
        lambda: parse_update({"data": WIDE}, 1.0),
        lambda: Telemetry.parse({"telemetry": dict.fromkeys(NAMES, 1)}),
        lambda: Register.parse({"meta": WIDE}),
        lambda: BulkCommand.parse({"command": "c", "session_ids": ["a"] * 250_000}),
        lambda: BulkCommand.parse({"command": "c", "session_ids": [1] * 10_000}),
        lambda: BulkCommand.parse(WIDE),
    ],
)
def test_worst_request_takes_milliseconds(work: Callable[[], object]) -> None:
    begun = time.process_time()
    try:
        work()
    except ServiceError:
        pass
    assert time.process_time() - begun < 0.15


def test_value_is_refused_by_its_size_before_its_depth_is_looked_at() -> None:
    with pytest.raises(TooLarge):
        check_value("params", LISTS, 65_536)
    with pytest.raises(TooLarge):
        parse_update({"key": "a", "value": [*LISTS, [[[[LISTS]]]]]}, 1.0)


def test_depth_is_that_of_the_deepest_place() -> None:
    value: Any = 1
    for level in range(33):
        if level < 32:
            check_depth(value)
        value = {"a": [], "b": value} if level % 2 else [value, []]
    with pytest.raises(InvalidRequest, match="32 levels"):
        check_depth(value)


@pytest.mark.parametrize(
    "parts",
    [[1, {}, "m1", "active", "\ud800"], [1, {"scope": {"sessions": ["\udfff"]}}, "m1", "active", None]],
)  # fmt: skip
def test_page_with_half_a_surrogate_pair_is_no_token(parts: list[Any]) -> None:
    """JSON can write one, `\\ud800`; nothing that is read with it could be sent or stored."""
    import base64
    import json

    text = json.dumps(parts)
    assert "\\ud" in text
    with pytest.raises(InvalidRequest):
        Wish.from_token(base64.urlsafe_b64encode(text.encode()).decode())
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(text)
