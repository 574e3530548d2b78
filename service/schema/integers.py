"""Integers that would not survive: beyond 64 bits, parsers make them floats and lose digits without a word.

Between -2^63 and 2^64 - 1 every digit is kept, from the client to Redis, the archive and the dashboards (a program in
JavaScript reads what is beyond 2^53 as a float). Others are refused, by their place; as text they may be sent.
"""

from __future__ import annotations

import json
import re
from typing import Any

from service.errors import InvalidRequest
from service.schema.names import is_name
from service.schema.unknown import MAX_SHOWN

LEAST, MOST = -(2**63), 2**64 - 1
#: Where such an integer may be; it may be a float after all, or stand in a string.
_LONG = re.compile(r"(?:\A|[\s:,\[])(?:-[1-9][0-9]{18}|[1-9][0-9]{19})")
#: More digits are beyond 64 bits anyway; to convert very many takes quadratic time.
_DIGITS = 30
#: Objects and arrays looked through for its place.
_STEPS = 20_000


def check_integers(text: str) -> None:
    """Refuse JSON with an integer that would lose digits.

    Args:
        text: valid JSON.

    Raises:
        InvalidRequest: names the first one's place.
    """
    if _LONG.search(text):
        value, is_lost = exact(text)
        if is_lost:
            place = ".".join(_place_of(value)) or "payload"
            raise InvalidRequest(f"`{place}`: an integer beyond 64 bits, send it as text")


def exact(text: str) -> tuple[Any, bool]:
    """Parse JSON and keep every integer; return it, and whether one is beyond 64 bits: encoding that fails."""
    lost = []

    def integer(digits: str) -> int:
        number = int(digits) if len(digits) <= _DIGITS else MOST + 1
        if not LEAST <= number <= MOST:
            lost.append(True)
        return number

    try:
        return json.loads(text, parse_int=integer), bool(lost)
    except RecursionError as exc:
        raise InvalidRequest("The payload is nested too deeply.") from exc


def may_lose(text: str) -> bool:
    """Return whether there may be an integer in this JSON that would lose digits."""
    return _LONG.search(text) is not None


def _place_of(value: Any) -> list[str]:
    """Return the way to an integer beyond 64 bits, without keys that might deceive; []: it is far away."""
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(value, ())]
    for one, way in waiting:
        if one.__class__ is int:
            return [str(step) for step in way if not isinstance(step, str) or _is_shown(step)][:8]
        if len(waiting) > _STEPS:
            break
        inner = enumerate(one) if one.__class__ is list else one.items()
        waiting += [(two, (*way, step)) for step, two in inner if _is_on_the_way(two)]
    return []


def _is_on_the_way(value: Any) -> bool:
    kind = value.__class__
    return kind is list or kind is dict or (kind is int and not LEAST <= value <= MOST)


def _is_shown(key: str) -> bool:
    return len(key) <= MAX_SHOWN and is_name(key)
