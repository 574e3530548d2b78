"""Cells of a CSV answer, none of which a spreadsheet reads as a formula.

A spreadsheet reads text as a formula if it begins with one of a few signs, after spaces that it strips. Text begins
where a cell begins; and, because some programs split a line of CSV at semicolons, tabs or line ends without
regard to quotes, after each of these too. A `'` before the sign makes it plain text.

One rule for text and for values that are shown as JSON (lists, objects): they contain text of clients as well.
Numbers, true, false and null are not text.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

#: Characters at which a program may split a line into cells.
SEPARATORS = ";\t\r\n"
#: Characters that begin a formula; some programs read the wide ones as the others.
SIGNS = "=+-@＝＋－＠"
#: A place where text may begin, all that may be stripped after it, and the sign if there is one. It takes all
#: separators that follow one another at once, so that none is looked at twice.
_BEGINNING = re.compile(
    rf"(\A|[{SEPARATORS}])"
    rf"([{SEPARATORS}\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\"]*+)"
    rf"([{re.escape(SIGNS)}]?)"
)


def cell(value: Any) -> str:
    """Return a value as a spreadsheet shows it."""
    if isinstance(value, str):
        return _BEGINNING.sub(_quoted, value)
    text = orjson.dumps(value).decode()
    return _BEGINNING.sub(_quoted, text) if isinstance(value, dict | list) else text


def _quoted(found: re.Match[str]) -> str:
    blank, sign = found[1] + found[2], found[3]
    if not sign:
        return blank
    place = max(map(blank.rfind, SEPARATORS)) + 1
    if not place and '"' in blank:  # the quote is text: CSV doubles it
        return blank + sign
    first = "'" if place and not found.start() else ""
    return f"{first}{blank[:place]}'{blank[place:]}{sign}"
