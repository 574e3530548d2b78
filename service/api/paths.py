"""Ids in paths: percent-encoded, slashes too, so that every legal id works in every path.

WSGI hands on a path that is decoded already: `sessions/a%2Fb/data` and `sessions/a/b/data` look the same
in PATH_INFO. So this middleware goes back to the path as it was sent (eventlet's and our gevent handler's
RAW_PATH_INFO, elsewhere REQUEST_URI), takes it apart at its slashes, and gives the router a PATH_INFO in
which each segment is encoded in one way; `Segment` decodes it again when a route is found. Nothing else
looks at the middle form.

`.` and `..` are legal ids, but browsers and curl fold such segments away, however they are encoded,
before a request is sent. For them, and for ids that are words of this API (`cleanup`), an id may be
written with `%7F` before it. No new id begins with that character, which is a control character; one of
an older version that does has to be written with one more.
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
    """Middleware: paths below `prefix` get to the router with every segment encoded.

    Args:
        app: what is around the router.
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
    """Return what stands between the slashes of the path as it was sent."""
    path: str = environ["PATH_INFO"]
    sent: str = (
        environ.get("RAW_PATH_INFO") or environ.get("REQUEST_URI") or environ.get("RAW_URI") or ""
    ).partition("?")[0]
    if sent.startswith("/") and unquote(sent, "latin-1") == path:
        return [unquote_to_bytes(segment) for segment in sent.split("/")]
    return [segment.encode("latin-1") for segment in path.split("/")]


def encoded(segment: bytes) -> str:
    """Return a segment as the router gets it; plain words stay as they are."""
    text = segment.decode("latin-1")
    return text if _PLAIN.fullmatch(text) else quote(segment, safe="")


class Segment(BaseConverter):
    """An id in a rule, `<segment:session_id>`; what is not UTF-8 comes out as lone surrogates."""

    def to_python(self, value: str) -> str:
        segment = unquote_to_bytes(value)
        if segment.startswith(_ESCAPE) and len(segment) > 1:
            segment = segment[1:]
        return segment.decode("utf-8", "surrogateescape")

    def to_url(self, value: Any) -> str:
        return in_path(str(value))


def in_path(text: str) -> str:
    """Return an id as it stands in a URL that every client leaves as it is."""
    folded = text and not text.strip(".")
    return quote("\x7f" + text if folded or text.startswith("\x7f") else text, safe="")
