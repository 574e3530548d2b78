"""Unknown fields of a request: which one there is, and which known one was probably meant.

A request that chooses, narrows or destroys is refused if it has a field that this version does not know: read
without it, it would choose more than its sender meant (docs/decisions/0012-unknown-fields.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from service.schema.names import is_name

#: A longer name is neither compared nor repeated.
MAX_SHOWN = 64
#: How alike two names must be, from 0 to 1, for one to be suggested instead of the other.
_LIKENESS = 0.6


def unknown_among(given: Iterable[object], known: Collection[str], what: str = "field") -> str:
    """Return what is wrong with the first name that is not known, in words; "": nothing.

    Args:
        given: names that a client sent.
        known: names that this version knows.
        what: the kind of name.
    """
    for name in given:
        if name in known:
            continue
        if not isinstance(name, str) or len(name) > MAX_SHOWN or not is_name(name):
            return f"unknown {what}"
        folded = {one.lower(): one for one in known}
        near = get_close_matches(name.lower(), folded, 1, _LIKENESS)
        hint = f"; did you mean '{folded[near[0]]}'?" if near else ""
        return f"unknown {what} '{name}'{hint}"
    return ""
