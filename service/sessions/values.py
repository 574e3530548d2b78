"""What may be an id, a name, a value, a time; RFC 7396. Used by every door and by SessionManager."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import orjson

from service import errors

#: Longest id, name or data key, in UTF-8 bytes.
MAX_NAME_BYTES = 256
#: orjson would also write dates, dataclasses and subclasses, which come back as something else.
ONLY_JSON = (
    orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
#: Deepest nesting of a value.
MAX_DEPTH = 32


def check_id(value: Any, field: str = "session_id") -> str:
    """A session id: 1–256 UTF-8 bytes without control characters.

    Raises:
        InvalidRequest, TooLarge
    """
    return check_name(field, value, empty=False)


def check_name(field: str, value: Any, *, empty: bool = True) -> str:
    """A name of at most 256 UTF-8 bytes without control characters.

    Raises:
        InvalidRequest, TooLarge
    """
    if not isinstance(value, str):
        raise errors.InvalidRequest(f"{field}: a string")
    if not value and not empty:
        raise errors.InvalidRequest(f"{field}: must not be empty")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as exc:
        raise errors.InvalidRequest(f"{field}: not valid Unicode") from exc
    if size > MAX_NAME_BYTES:
        raise errors.TooLarge(f"{field}: at most {MAX_NAME_BYTES} bytes")
    if not value.isprintable() and any(
        ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 or letter in "\u2028\u2029"
        for letter in value
    ):
        raise errors.InvalidRequest(f"{field}: must not contain control characters")
    return value


def is_filled_object(value: Any) -> bool:
    """Whether it is a JSON object with at least one key."""
    return isinstance(value, dict) and bool(value)


def check_value(field: str, value: Any, max_bytes: int) -> bytes:
    """The value as JSON.

    Raises:
        InvalidRequest: not JSON (NaN, infinities, too deep, other types).
        TooLarge: more than `max_bytes` of JSON.
    """
    check_depth(field, value)
    try:
        encoded = orjson.dumps(value, option=ONLY_JSON)
    except (TypeError, ValueError) as exc:
        raise errors.InvalidRequest(f"{field}: cannot be written as JSON") from exc
    if len(encoded) > max_bytes:
        raise errors.TooLarge(f"{field}: at most {max_bytes} bytes of JSON")
    return encoded


def check_depth(field: str, value: Any) -> None:
    """Refuses what is nested deeper than MAX_DEPTH, and numbers that JSON does not have.

    Raises:
        InvalidRequest
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list | tuple):
                inner += item
            elif isinstance(item, float) and not math.isfinite(item):
                raise errors.InvalidRequest(f"{field}: NaN and infinities are no JSON numbers")
        if not inner:
            return
        level = inner
    raise errors.InvalidRequest(f"{field}: nested deeper than {MAX_DEPTH}")


def unix_seconds(value: Any) -> float:
    """A moment in seconds since 1970, from a datetime, ISO 8601 (UTC unless it says) or seconds.

    Raises:
        InvalidRequest
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as exc:
            raise errors.InvalidRequest("timestamp: ISO 8601 or seconds since 1970") from exc
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise errors.InvalidRequest("timestamp: seconds since 1970")
    return float(value)


def merge_patch(target: Any, patch: Any) -> Any:
    """The target changed by an RFC 7396 merge patch; neither argument is altered."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def count_nodes(value: Any) -> int:
    """How many JSON values (objects, arrays, scalars) a document has; 0 for none."""
    count, level = 0, [] if value is None else [value]
    while level:
        count += len(level)
        level = [
            inner
            for item in level
            for inner in (
                item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
            )
        ]
    return count
