"""Compression of answers, and of bodies: gzip, in pieces that take a millisecond of the event loop each.

An answer of a route below `/api/v1` is compressed if the client asks for it and it is long enough. Answers
contain nothing secret except what a client sent (tokens are in headers that no answer repeats, and a page of
another origin cannot send one), so their length reveals nothing (BREACH).

A compressed answer has other bytes, so its ETag has a suffix; `If-Match` and `If-None-Match` take both.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator

from flask import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from service import errors
from service.api.negotiation import takes_gzip

#: Shorter answers become no faster.
LEAST_BYTES = 1_400
#: Compressed in one turn of the event loop.
PIECE_BYTES = 64 << 10
#: The fastest: JSON becomes a fifth of its size, at 100 MB/s.
LEVEL = 1
SUFFIX = "-gzip"
TYPES = frozenset({"application/json", "application/x-ndjson", "text/csv"})
_GZIP = 16 + zlib.MAX_WBITS


def compress(response: Response) -> Response:
    """Compress an answer, if the client wants that and it is worth it."""
    if response.mimetype not in TYPES or response.status_code not in (200, 201, 202):
        return response
    response.headers.add("Vary", "Accept-Encoding")
    if request.method == "HEAD" or not takes_gzip(request.headers.get("Accept-Encoding", "")):
        return response
    if response.is_streamed:
        response.response = _compressed(response.response)  # type: ignore[arg-type]
    elif (response.content_length or 0) >= LEAST_BYTES:
        body = response.get_data()
        pieces = (body[i : i + PIECE_BYTES] for i in range(0, len(body), PIECE_BYTES))
        response.set_data(b"".join(_compressed(pieces)))
    else:
        return response
    response.headers["Content-Encoding"] = "gzip"
    tag, is_weak = response.get_etag()
    if tag is not None:
        response.set_etag(tag + SUFFIX, weak=bool(is_weak))
    return response


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
        time.sleep(0)
    yield packer.flush()


def decompressed(body: bytes, most: int) -> bytes:
    """Return the text of a body that was sent with `Content-Encoding: gzip`.

    Args:
        body: as it was sent.
        most: bytes that the text may have.

    Raises:
        InvalidRequest: it is not gzip, or more than one.
        RequestEntityTooLarge
    """
    unpacker = zlib.decompressobj(_GZIP)
    try:
        text = unpacker.decompress(body, most + 1)
    except zlib.error as exc:
        raise errors.InvalidRequest("The body is not gzip.") from exc
    if len(text) > most:
        raise RequestEntityTooLarge
    if not unpacker.eof or unpacker.unused_data:
        raise errors.InvalidRequest("The body is not gzip.")
    return text
