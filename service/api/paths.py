"""Ids in paths: percent-encoded, slashes too, so that every legal id works in every path.

WSGI passes on a path that is already decoded: `sessions/a%2Fb/data` and `sessions/a/b/data` look the same
in PATH_INFO. So this middleware takes the path as it was sent (RAW_PATH_INFO of eventlet and of our gevent
handler, elsewhere REQUEST_URI), splits it at its slashes, and gives the router a PATH_INFO in which each
segment is encoded in one way. `Segment` decodes it again when a route is found; nothing else sees the
encoded form.

`.` and `..` are legal ids, but browsers and curl remove such segments before they send a request, however
they are encoded. For these ids, and for ids that are words of this API (`cleanup`), an id may be written
with `%7F` before it. New ids cannot begin with this control character; an id of an older version that
does must be written with one more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from werkzeug.routing import BaseConverter

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
_ESCAPE = b"\x7f"

WsgiApp = Callable[..., Iterable[bytes]]


class EncodedSegments:
    """Middleware: the router gets paths below `prefix` with every segment encoded.

    Args:
        app: the WSGI application that contains the router.
        prefix: such as `/api/`.
    """

    def __init__(self, app: WsgiApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith(self._prefix):
            environ["PATH_INFO"] = "/".join(map(encoded, _segments(environ)))
        if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
            # Both servers end the stream where the chunks end; without this the body would be ignored.
            environ["wsgi.input_terminated"] = True
        return self._app(environ, start_response)


def _segments(environ: dict[str, Any]) -> list[bytes]:
    """Return the segments of the path as it was sent, decoded."""
    path: str = environ["PATH_INFO"]
    sent: str = (
        environ.get("RAW_PATH_INFO") or environ.get("REQUEST_URI") or environ.get("RAW_URI") or ""
    ).partition("?")[0]
    if sent.startswith("/") and unquote(sent, "latin-1") == path:
        return [unquote_to_bytes(segment) for segment in sent.split("/")]
    return [segment.encode("latin-1") for segment in path.split("/")]


def encoded(segment: bytes) -> str:
    """Return a segment as the router gets it; unreserved characters are not changed."""
    text = segment.decode("latin-1")
    return text if _PLAIN.fullmatch(text) else quote(segment, safe="")


class Segment(BaseConverter):
    """An id in a rule, `<segment:session_id>`; bytes that are not UTF-8 become lone surrogates."""

    def to_python(self, value: str) -> str:
        segment = unquote_to_bytes(value)
        if segment.startswith(_ESCAPE) and len(segment) > 1:
            segment = segment[1:]
        return segment.decode("utf-8", "surrogateescape")

    def to_url(self, value: Any) -> str:
        return in_path(str(value))


def in_path(text: str) -> str:
    """Return an id encoded for a URL path such that no client changes it."""
    folded = text and not text.strip(".")
    return quote("\x7f" + text if folded or text.startswith("\x7f") else text, safe="")
