"""Header lines: names and values, taken apart all at once, as libraries ask for them and as WSGI has them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

#: Names and values of headers, in their order.
Fields = list[tuple[str, str]]

#: A header line.
# `*+`: the spaces are not tried again as part of the value, which would take quadratic time.
FIELD: Final = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*)"
#: All of a head at once.
_FIELDS: Final = re.compile(f"^{FIELD}$", re.MULTILINE)
#: Names of headers as most clients write them → in lower case: they need not be converted for each request.
USUAL: Final = {
    spelling: name.lower()
    for name in (
        *("Host", "Connection", "Upgrade", "Origin", "User-Agent", "Authorization", "Cookie"),
        *("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Extensions", "Expect"),
        *("Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Pragma", "Referer"),
        *("Content-Type", "Content-Length", "Transfer-Encoding", "X-Forwarded-For"),
    )
    for spelling in (name, name.lower())
}


def _key(name: str) -> str:
    """Return the key of a header in an environ; "": it has none."""
    key = name.replace("-", "_").upper()
    return "" if "_" in name or key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


_KEYS: Final = {name: _key(name) for name in USUAL}


def read(lines: Sequence[bytes]) -> Fields | None:
    """Return the headers of these lines, which have no line ends; None: one of them is none."""
    text = b"\n".join(lines).decode("latin-1")
    found = _FIELDS.findall(text)
    if len(found) != len(lines) or (found and text.count("\n") >= len(found)):
        return None
    return [
        (name, value if value[-1:] not in (" ", "\t") else value.rstrip(" \t"))
        for name, value in found
    ]


class Headers:
    """The headers of a request, as `http.server` and eventlet ask for them and have them in an environ."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self._first: dict[str, str] = {}
        for name, value in fields:
            lower = USUAL[name] if name in USUAL else name.lower()
            if lower not in self._first:
                self._first[lower] = value

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first one of this name, in any letter case."""
        lower = USUAL[name] if name in USUAL else name.lower()
        return self._first.get(lower, default)

    def add_to(self, environ: dict[str, Any]) -> None:
        """Add them to an environ of WSGI, those of one name joined by commas.

        Names with `_` are left out: they would be taken for others. Type and length of a body have other keys.
        """
        for name, value in self.fields:
            if name in _KEYS:
                key = _KEYS[name]
            else:
                key = _key(name)
            if key:
                environ[key] = f"{environ[key]},{value}" if key in environ else value
