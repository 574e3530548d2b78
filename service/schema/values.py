"""Values and times: what is allowed, and how they are encoded."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from typing import Any

import orjson

from service.errors import InvalidRequest, TooLarge
from service.schema.limits import MAX_DEPTH, MAX_TS_S

#: orjson would also write dates, dataclasses and subclasses, which come back as something else.
ONLY_JSON = (
    orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_NESTED: frozenset[type] = frozenset((dict, list, tuple))


def check_depth(value: Any, levels: int = MAX_DEPTH) -> None:
    """Raise unless a value has at most so many levels of objects and arrays.

    Raises:
        InvalidRequest: it is deeper.
    """
    # level by level, in half the time of a recursion: 1 MiB of `[],` takes 25 ms of the event loop
    level: list[Any] = [value] if value.__class__ in _NESTED else []
    while level:
        if not levels:
            raise InvalidRequest(f"Values may be {MAX_DEPTH} levels deep.")
        levels -= 1
        level = [
            inner
            for one in level
            for inner in (one.values() if one.__class__ is dict else one)
            if inner.__class__ in _NESTED
        ]


def check_value(field: str, value: Any, max_bytes: int) -> bytes:
    """Encode a value of a caller in Python as JSON; strict parsers leave only its size to check.

    Raises:
        InvalidRequest: not JSON (NaN, infinities, too deep, other types).
        TooLarge: more than `max_bytes` of JSON.
    """
    try:
        encoded = orjson.dumps(value, option=ONLY_JSON)
        if len(encoded) > max_bytes:  # before anything that takes longer for a large value
            raise TooLarge(f"{field}: at most {max_bytes} bytes of JSON")
        if encoded.count(b"[") + encoded.count(b"{") > MAX_DEPTH:
            check_depth(value)
        if b"null" in encoded:  # NaN and infinities as well
            _check_finite(value)
    except InvalidRequest as exc:
        raise InvalidRequest(f"{field}: {exc.message}") from exc
    except (TypeError, ValueError) as exc:
        is_long = isinstance(exc, orjson.JSONEncodeError) and "64-bit" in str(exc)
        why = (
            "an integer beyond 64 bits, send it as text" if is_long else "cannot be written as JSON"
        )
        raise InvalidRequest(f"{field}: {why}") from exc
    return encoded


def digest_of(value: Any) -> str:
    """Return what tells one request from another: equal for equal JSON, whatever the order of its fields."""
    encoded = orjson.dumps(value, option=ONLY_JSON | orjson.OPT_SORT_KEYS)
    return hashlib.sha256(encoded).hexdigest()[:32]


def _check_finite(value: Any) -> None:
    """Raise for NaN and infinities, which orjson writes as null."""
    kind: type = value.__class__
    if kind in _NESTED:
        for inner in value.values() if kind is dict else value:
            _check_finite(inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest("NaN and infinities are no JSON numbers.")


def whole(value: Any) -> Any:
    """Return 2.0 as 2, anything else as it is."""
    return int(value) if value.__class__ is float and value.is_integer() else value


def unix_seconds(value: Any) -> float:
    """Convert a datetime, ISO 8601 (UTC unless it says) or seconds to seconds since 1970.

    Raises:
        InvalidRequest
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as exc:
            raise InvalidRequest("timestamp: ISO 8601 or seconds since 1970") from exc
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TS_S:
        raise InvalidRequest("timestamp: seconds since 1970")
    return float(value)
