"""The head of an HTTP/1 request: how it is checked, and where its body ends.

RFC 9112 with its MUSTs and none of its leniencies: whatever two programs might read differently is refused.
No I/O.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from service.protocol.authority import DEFAULT_PORTS, parse_authority
from service.transport.http import fields
from service.transport.http.fields import USUAL, Fields, Headers

#: Bytes of the request line and the header lines together; a token may have 8,192.
MAX_HEAD_BYTES: Final = 16 * 1024
#: Bytes of one line: both libraries take no longer ones.
MAX_LINE_BYTES: Final = 8191
#: As many as Python's parser takes.
MAX_LINES: Final = 100
#: The line with a chunk's size, its extensions included.
MAX_CHUNK_LINE_BYTES: Final = 256

_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ ([!-~]+) HTTP/1\.([01])")
_FIELD: Final = re.compile(fields.FIELD.encode())
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")


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


class Framing(NamedTuple):
    """Where the body ends."""

    length: int
    is_chunked: bool


def framing(lines: Sequence[bytes], headers: Fields | None = None) -> Framing:
    """Check a head and return where its body ends.

    Args:
        lines: the request line and the header lines, without line ends.
        headers: of the header lines; None: they are still to be made.

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
    for name, value in fields_of(lines) if headers is None else headers:
        lower = USUAL[name] if name in USUAL else name.lower()
        if lower in found:
            found[lower].append(value)
    if len(lengths) > 1 or len(encodings) > 1 or len(hosts) > 1 or (lengths and encodings):
        raise bad("headers that contradict each other")
    if not hosts and request[2] == b"1":
        raise bad("no Host")
    if hosts and hosts[0] and not _is_authority(hosts[0]):
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
    """Return the headers of a head.

    Raises:
        Refused: one of its lines is none.
    """
    found = fields.read(lines[1:])
    if found is None:
        raise bad("header line")
    return found


@functools.lru_cache(64)
def _is_authority(text: str) -> bool:
    """Return whether this is a host, as all clients of a node name the same few."""
    return parse_authority(text) is not None


class Request(NamedTuple):
    """A head, as `http.server` parses it."""

    line: str
    command: str
    path: str  #: with its query
    version: str
    headers: Headers
    is_last: bool  #: the connection ends after it


def parse(lines: Sequence[bytes], headers: Fields | None = None) -> Request:
    """Parse a head that `framing` has checked.

    `http.server` takes headers for those of an e-mail, and longer for them than a node for all else of a request.
    """
    line = lines[0].decode("latin-1")
    command, _, rest = line.partition(" ")
    path, _, version = rest.partition(" ")
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    found = Headers(fields_of(lines) if headers is None else headers)
    asked = (found.get("connection") or "").lower()
    is_kept = asked != "close" and (version == "HTTP/1.1" or asked == "keep-alive")
    return Request(line, command, path, version, found, not is_kept)


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
