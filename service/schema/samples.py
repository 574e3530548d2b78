"""Samples of an `update_data` or `update_telemetry` payload, checked and encoded once.

Written by hand because it runs for every sample: a value is encoded here, and these bytes are what Redis
stores and what dashboards get. Values have already passed a strict JSON parser, which refuses NaN
and infinities and broken text; what is left to check is size, depth and form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import orjson

from service.errors import InvalidRequest, TooLarge
from service.schema.limits import (
    MAX_COUNT,
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_SAMPLES,
    MAX_TS_S,
    MAX_VALUE_BYTES,
)
from service.schema.names import WITHOUT, is_name
from service.schema.values import check_depth, whole

#: A value and its time whose JSON is shorter than this cannot be too deep.
SHALLOW_BYTES = 2 * MAX_DEPTH

#: A float that was an integer beyond 64 bits is not smaller, and is encoded with an exponent.
EXACT = 2.0**63
_LARGE = re.compile(rb"e[+1-9]")

ONE_FORM = "Give one of `key` and `value`, `data`, `samples`."

#: One sample, encoded once when it came in: key, `[value,ts]`, `["key",value,ts]`. A bare tuple: making a named
#: one of it takes longer than encoding a number.
Sample = tuple[str, bytes, bytes]


class Update(NamedTuple):
    """The content of one event."""

    samples: list[Sample]
    seq: int | None
    bytes_in: int


# It makes a named tuple of a tuple, without the call in Python that its constructor is.
_update: Callable[[tuple[list[Sample], int | None, int]], Update] = partial(tuple.__new__, Update)


class MayLose(Exception):
    """A value is a number that was perhaps an integer beyond 64 bits; only the text of the event tells."""


def parse_update(
    payload: Any, now_s: float, max_value_bytes: int = MAX_VALUE_BYTES, *, is_checked: bool = True
) -> Update:
    """Parse the samples of an `update_data` payload.

    Args:
        payload: `{key, value}`, `{data}` or `{samples}`, each with `ts?` and `seq?`, as parsed JSON.
        now_s: Redis time in seconds, for samples without a `ts`.
        max_value_bytes: largest value, as JSON.
        is_checked: whether `check_integers` has seen the text. It takes a tenth of an event's time, so it
            is asked only where this raises.

    Raises:
        MayLose
        InvalidRequest: another form, a wrong type, no samples or too deep.
        TooLarge: a value is too large, or there are too many samples.
    """
    if payload.__class__ is not dict:
        raise InvalidRequest("The payload should be an object.")
    get = payload.get
    seq = get("seq")
    if seq.__class__ is float:
        seq = whole(seq)
    if seq is not None and (seq.__class__ is not int or not 1 <= seq <= MAX_COUNT):
        raise InvalidRequest("`seq` counts 1, 2, 3, …")
    ts = get("ts")
    ts = in_ms(now_s) if ts is None else _checked_ts(ts)
    if "key" in payload:
        if "value" not in payload:
            raise InvalidRequest("`value` is missing.")
        if "data" in payload or "samples" in payload:
            raise InvalidRequest(ONE_FORM)
        sample = _encode(payload["key"], payload["value"], ts, max_value_bytes, is_checked)
        return _update(([sample], seq, len(sample[2])))
    if "value" in payload:  # it would be lost without a word
        raise InvalidRequest(ONE_FORM)
    if "data" in payload:
        if "samples" in payload:
            raise InvalidRequest(ONE_FORM)
        samples = _from_object(payload["data"], "data", ts, max_value_bytes, is_checked)
    elif "samples" in payload:
        samples = _from_list(payload["samples"], ts, max_value_bytes, is_checked)
    else:
        raise InvalidRequest(ONE_FORM)
    return _update((samples, seq, sum(len(sample[2]) for sample in samples)))


def in_ms(now_s: float) -> float:
    """Return the time of samples that have none: `round(now_s, 3)`, at a fifth of the time."""
    return int(now_s * 1000 + 0.5) / 1000


def json_in_ms(now_s: Callable[[], float]) -> Callable[[], bytes]:
    """Return what gives `in_ms` of the present time as JSON; written out, because nearly every event asks it."""
    return lambda: orjson.dumps(int(now_s() * 1000 + 0.5) / 1000)


def parse_telemetry(
    payload: Any, now_s: float, max_value_bytes: int = MAX_VALUE_BYTES, *, is_checked: bool = True
) -> Update:
    """Parse the samples of an `update_telemetry` payload, `{telemetry: {…}}` with `ts?` and `seq?`.

    Raises:
        InvalidRequest, TooLarge: as `parse_update`.
    """
    if payload.__class__ is not dict or "telemetry" not in payload:
        raise InvalidRequest("`telemetry` should be an object.")
    if payload["telemetry"].__class__ is not dict:
        raise InvalidRequest("`telemetry` should be an object.")
    update = {"data": payload["telemetry"], "ts": payload.get("ts"), "seq": payload.get("seq")}
    return parse_update(update, now_s, max_value_bytes, is_checked=is_checked)


def _from_object(
    data: Any, field: str, ts: float, max_value_bytes: int, is_checked: bool
) -> list[Sample]:
    if data.__class__ is not dict:
        raise InvalidRequest(f"`{field}` should be an object.")
    _check_count(len(data))
    return [_encode(key, value, ts, max_value_bytes, is_checked) for key, value in data.items()]


def _from_list(rows: Any, ts: float, max_value_bytes: int, is_checked: bool) -> list[Sample]:
    if rows.__class__ is not list:
        raise InvalidRequest("`samples` should be an array.")
    _check_count(len(rows))
    samples = []
    for row in rows:
        if row.__class__ is not list or not 2 <= len(row) <= 3:
            raise InvalidRequest("Each of `samples` should be [key, value] or [key, value, ts].")
        own_ts = _checked_ts(row[2]) if len(row) == 3 and row[2] is not None else ts
        samples.append(_encode(row[0], row[1], own_ts, max_value_bytes, is_checked))
    return samples


def _check_count(count: int) -> None:
    if not count:
        raise InvalidRequest("There are no samples.")
    if count > MAX_SAMPLES:
        raise TooLarge(f"One event may carry {MAX_SAMPLES} samples.", max_samples=MAX_SAMPLES)


def _checked_ts(ts: Any) -> float:
    if (ts.__class__ is float or ts.__class__ is int) and 0 <= ts <= MAX_TS_S:
        return ts
    raise InvalidRequest("`ts` should be seconds since 1970.")


def _encode(key: Any, value: Any, ts: float, max_value_bytes: int, is_checked: bool) -> Sample:
    head = feed_head(key) if key.__class__ is str else b""
    if not head:
        raise InvalidRequest(f"A key is a string of 1–{MAX_NAME_BYTES} UTF-8 bytes, {WITHOUT}.")
    try:
        value_ts = orjson.dumps((value, ts))
    except orjson.JSONEncodeError:
        check_depth(value)
        raise
    size = len(value_ts)
    if size > max_value_bytes and len(orjson.dumps(value)) > max_value_bytes:
        raise TooLarge(f"A value may have {max_value_bytes} bytes.", max_bytes=max_value_bytes)
    if size > SHALLOW_BYTES:
        check_depth(value)
    if not is_checked and _may_lose(value, value_ts):
        raise MayLose
    # A copy is kept: orjson makes its bytes in a kilobyte and shrinks it, and to keep many of these costs
    # five times what making them does.
    body = value_ts[1:]
    return key, b"[" + body, head + body


def _may_lose(value: Any, encoded: bytes) -> bool:
    """Return whether a number in it may have been an integer beyond 64 bits."""
    kind = value.__class__
    if kind is float:
        return not -EXACT < value < EXACT
    return (kind is list or kind is dict) and _LARGE.search(encoded) is not None


@lru_cache(maxsize=10_000)
def feed_head(key: str) -> bytes:
    """Return `["key",` for a legal key, else b"". Devices send the same few keys again and again."""
    return b"[%b," % orjson.dumps(key) if is_name(key) else b""


def kept_json(name: str) -> bytes:
    """Return a name as JSON, to be kept: a copy, because what orjson returns occupies 4 kB however short it is."""
    return b"%b" % orjson.dumps(name)
