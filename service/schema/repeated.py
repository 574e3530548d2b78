"""Repeated fields of a request: JSON allows them, and parsers take the last one without a word.

A request in which a field that chooses or narrows comes twice is refused: its sender, or a proxy that reads the first
one, means something else than what would be done. This holds for the fields of the request itself, of `filter` and of
`scope`. In values that are only kept (setups, parameters, samples) the last one counts, as everywhere in JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any

from service.errors import InvalidRequest
from service.schema.names import is_name
from service.schema.unknown import MAX_SHOWN

#: Fields that are objects with fields of the request.
NARROWING = ("filter", "scope")
#: Names that are looked for one by one in the text.
_MANY = 32
#: An escaped ASCII character, with which a known name may be written in another way; others are refused anyway.
_ESCAPED = re.compile(r"\\u00[2-7]")


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written."""


def check_repeated(text: str, value: Any, place: int | None = None) -> None:
    """Refuse a request with a field that comes more than once.

    Args:
        text: valid JSON.
        value: the request, as parsed from it; anything but an object has no fields.
        place: of the request in the array that the text is; None: it is all of the text.

    Raises:
        InvalidRequest: names the first one.
    """
    if value.__class__ is not dict:
        return
    names = [*value]
    for field in NARROWING:
        if value.get(field).__class__ is dict:
            names += value[field]
    if (
        len(names) <= _MANY
        and not _ESCAPED.search(text)
        and all(text.count(f'"{name}"') == 1 for name in names)
    ):
        return
    try:
        found = json.loads(text, object_pairs_hook=_Pairs, parse_int=str)
    except RecursionError as exc:
        raise InvalidRequest("The payload is nested too deeply.") from exc
    request = found if place is None else found[place]
    _check_once(request)
    for field, inner in request:
        if field in NARROWING and inner.__class__ is _Pairs:
            _check_once(inner)


def _check_once(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for name, _ in pairs:
        if name in seen:
            shown = f"`{name}`" if len(name) <= MAX_SHOWN and is_name(name) else "a field"
            raise InvalidRequest(f"{shown}: given more than once")
        seen.add(name)
