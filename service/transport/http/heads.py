"""The head of an HTTP/1 request: how it is checked, and where its body ends.

RFC 9112 with its MUSTs and none of its leniencies: whatever two programs might read differently is refused.
No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from service.protocol.authority import DEFAULT_PORTS, parse_authority

#: Bytes of the request line and the header lines together; a token may have 8,192.
MAX_HEAD_BYTES: Final = 16 * 1024
#: Bytes of one line: both libraries take no longer ones.
MAX_LINE_BYTES: Final = 8191
#: As many as Python's parser takes.
MAX_LINES: Final = 100
#: The line with a chunk's size, its extensions included.
MAX_CHUNK_LINE_BYTES: Final = 256

_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ ([!-~]+) HTTP/1\.([01])")
# `*+`: the spaces are not tried again as part of the value, which would take quadratic time.
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*)")
#: All header lines of a head at once, and as text: whatever `_FIELD` takes, and nothing else.
_FIELDS: Final = re.compile(f"^{_FIELD.pattern.decode()}$", re.MULTILINE)
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")


#: Names of headers as most clients write them → in lower case: they need not be converted for each request.
_USUAL: Final = {
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


_KEYS: Final = {name: _key(name) for name in _USUAL}


class Refused(Exception):
    """A request that is not served; the connection ends after the answer.

    Args:
        status: of the answer, such as `400 Bad Request`.
        why: the reason, as figures have it.
        what: the part of the request at fault.
    """

    def __init__(self, status: str, why: str, what: str = "") -> None:
        super().__init__(what or why)
        self.status = status
        self.why = why


#: Names and values of headers, in their order.
Fields = list[tuple[str, str]]


class Framing(NamedTuple):
    """Where the body ends."""

    length: int
    is_chunked: bool


def framing(lines: Sequence[bytes], fields: Fields | None = None) -> Framing:
    """Check a head and return where its body ends.

    Args:
        lines: the request line and the header lines, without line ends.
        fields: of the header lines; None: they are still to be made.

    Raises:
        Refused: it is not a request, or one that can be read in two ways.
    """
    request = _REQUEST_LINE.fullmatch(lines[0])
    if request is None or not _is_target(request[1]):
        raise bad("request line")
    lengths: list[str] = []
    encodings: list[str] = []
    hosts: list[str] = []
    found = {"content-length": lengths, "transfer-encoding": encodings, "host": hosts}
    for name, value in fields_of(lines) if fields is None else fields:
        lower = _USUAL[name] if name in _USUAL else name.lower()
        if lower in found:
            found[lower].append(value)
    if len(lengths) > 1 or len(encodings) > 1 or len(hosts) > 1 or (lengths and encodings):
        raise bad("headers that contradict each other")
    if not hosts and request[2] == b"1":
        raise bad("no Host")
    if hosts and hosts[0] and parse_authority(hosts[0]) is None:
        raise bad("Host")
    if encodings:
        if encodings[0].lower() != "chunked" or request[2] == b"0":
            raise bad("Transfer-Encoding")
        return Framing(0, True)
    if not lengths:
        return _NO_BODY
    if not _LENGTH.fullmatch(lengths[0]):
        raise bad("Content-Length")
    return Framing(int(lengths[0]), False)


_NO_BODY: Final = Framing(0, False)


def fields_of(lines: Sequence[bytes]) -> Fields:
    """Return names and values of the headers of a head.

    Raises:
        Refused: one of its lines is none.
    """
    text = b"\n".join(lines[1:]).decode("latin-1")
    fields = _FIELDS.findall(text)
    if len(fields) != len(lines) - 1 or (fields and text.count("\n") >= len(fields)):
        raise bad("header line")
    return [
        (name, value if value[-1:] not in (" ", "\t") else value.rstrip(" \t"))
        for name, value in fields
    ]


class Headers:
    """The headers of a request, as `http.server` and eventlet ask for them and have them in an environ."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self._first: dict[str, str] = {}
        for name, value in fields:
            lower = _USUAL[name] if name in _USUAL else name.lower()
            if lower not in self._first:
                self._first[lower] = value

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first one of this name, in any letter case."""
        lower = _USUAL[name] if name in _USUAL else name.lower()
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


class Request(NamedTuple):
    """A head, as `http.server` parses it."""

    line: str
    command: str
    path: str  #: with its query
    version: str
    headers: Headers
    is_last: bool  #: the connection ends after it


def parse(lines: Sequence[bytes], fields: Fields | None = None) -> Request:
    """Parse a head that `framing` has checked.

    `http.server` takes headers for those of an e-mail, and longer for them than a node for all else of a request.
    """
    line = lines[0].decode("latin-1")
    command, _, rest = line.partition(" ")
    path, _, version = rest.partition(" ")
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    headers = Headers(fields_of(lines) if fields is None else fields)
    asked = (headers.get("connection") or "").lower()
    is_kept = asked != "close" and (version == "HTTP/1.1" or asked == "keep-alive")
    return Request(line, command, path, version, headers, not is_kept)


def _is_target(target: bytes) -> bool:
    """Return whether a request target is a path, `*`, or a URL with a host that everybody reads alike."""
    if target.startswith(b"/") or target == b"*":
        return True
    scheme, separator, rest = target.decode("latin-1").partition("://")
    authority = rest.partition("/")[0].partition("?")[0]
    return (
        bool(separator)
        and scheme.lower() in DEFAULT_PORTS
        and parse_authority(authority) is not None
    )


def chunk_size(line: bytes) -> int:
    """Parse the size that a chunk begins with.

    Args:
        line: without its line end.

    Raises:
        Refused: it is not a size.
    """
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise bad("chunk")
    return int(found[1], 16)


def is_field(line: bytes) -> bool:
    """Return whether this is a header line, without its line end."""
    return _FIELD.fullmatch(line) is not None


def bad(what: str) -> Refused:
    """Return the refusal of what is not HTTP, or HTTP that can be read in two ways."""
    return Refused("400 Bad Request", "malformed", what)
