"""What a sample may be: checked here, so that a bad one raises where it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from muster_client import protocol

#: Limits of the service, as docs/protocol.md has them.
MAX_KEY_BYTES = 256
MAX_DEPTH = 32
MAX_VALUE_BYTES = 64 * 1024
MAX_TS_S = 100_000_000_000.0
_FORBIDDEN = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"} | {
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
}


class Sample(NamedTuple):
    """A sample that the service will take.

    Attributes:
        key: Data key.
        json: Its value as strict JSON.
        ts: When it was measured, seconds since 1970.
    """

    key: str
    json: str
    ts: float

    @property
    def size(self) -> int:
        """Bytes that it takes in a message, at most."""
        return len(self.key) * 4 + len(self.json.encode()) + 40


def check(values: Mapping[str, Any], ts: float) -> list[Sample]:
    """Return values as samples of one moment.

    Raises:
        ValueError: A key, a value or the time is not what the service takes; says which and why.
        TypeError: A value is of a type that JSON does not have.
    """
    if not values:
        raise ValueError("there is nothing to send: give at least one key and value")
    if not 0 <= ts <= MAX_TS_S:
        raise ValueError(f"ts {ts!r} is no time in seconds since 1970")
    return [Sample(_key(key), _value(key, value), float(ts)) for key, value in values.items()]


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the key {key!r} is no text")
    size = len(key.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_KEY_BYTES:
        raise ValueError(f"the key {key!r} has {size} bytes; 1 to {MAX_KEY_BYTES} are allowed")
    if any(c in _FORBIDDEN or 0xD800 <= ord(c) < 0xE000 for c in key):
        raise ValueError(f"the key {key!r} has a control character")
    return key


def _value(key: str, value: object) -> str:
    try:
        text = protocol.dumps(value)
    except RecursionError:
        raise ValueError(f"{key}: the value is too deep") from None
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if _depth(value) > MAX_DEPTH:
        raise ValueError(f"{key}: objects and arrays are deeper than {MAX_DEPTH} levels")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_VALUE_BYTES:
        raise ValueError(f"{key}: the value has {size} bytes; {MAX_VALUE_BYTES} are allowed")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{key}: the value has half a character (a lone surrogate)") from None
    return text


def _depth(value: object) -> int:
    if isinstance(value, Mapping):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, (list, tuple)):
        return 1 + max(map(_depth, value), default=0)
    return 0


def row(sample: Sample, shift_s: float) -> list[Any]:
    """Return a sample as `update_data` takes it, its time corrected."""
    return [sample.key, json.loads(sample.json), max(0.0, sample.ts + shift_s)]
