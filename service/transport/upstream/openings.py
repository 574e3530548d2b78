"""Openings: how a request for a new websocket becomes an Engine.IO connection, with a third of the library's calls.

Does what engineio/server.py:188 and :407 do with a GET of transport websocket and nothing unusual in it. Of those there
are thousands at once when a fleet returns; all else goes to `eio.handle_request`.
"""

from __future__ import annotations

import functools
import os
from binascii import b2a_base64
from typing import Any
from urllib.parse import parse_qs

from service.protocol import handshake
from service.transport.upstream.engine_packets import opening
from service.transport.upstream.engine_socket import NodeSocket

#: A query of at most so many characters is taken apart once for many requests: nearly all have one of very few.
MAX_SHARED = 100
_shared_query = functools.lru_cache(64)(parse_qs)
_URLSAFE = bytes.maketrans(b"+/", b"-_")


def query_of(environ: dict[str, Any]) -> dict[str, list[str]]:
    """Return the query of a request as engineio/server.py:231 has it; it is not to be changed."""
    text = environ.get("QUERY_STRING", "")
    return parse_qs(text) if "sid" in text or len(text) > MAX_SHARED else _shared_query(text)


def noise() -> str:
    """Return 128 bits, as `secrets.token_urlsafe` does in twice the calls."""
    return b2a_base64(os.urandom(16), newline=False).translate(_URLSAFE)[:22].decode()


def is_usual(eio: Any, environ: dict[str, Any], query: dict[str, list[str]]) -> bool:
    """Return whether `open_websocket` does for a first request, in which `refusals.fault_of` has found no fault."""
    return (
        query["transport"] == ["websocket"]
        and "websocket" in eio.transports
        and environ["REQUEST_METHOD"] == "GET"
        and environ[handshake.UPGRADE].lower() == "websocket"
        and not ("HTTP_ORIGIN" in environ and eio.cors_allowed_origins != [])
    )


def open_websocket(eio: Any, environ: dict[str, Any], start_response: Any) -> Any:
    """Answer such a request: serve its websocket, or say why that failed."""
    muster = eio.muster
    sid = eio.generate_id()
    socket = eio.sockets[sid] = NodeSocket(eio, sid)
    socket.opening = opening(sid, eio)
    muster.enter(socket, environ)
    socket.schedule_ping()
    answer = socket.handle_get_request(environ, start_response)
    if socket.closed:
        eio.sockets.pop(sid, None)
    if not isinstance(answer, dict):
        return answer
    start_response(answer["status"], answer["headers"] + eio._cors_headers(environ))
    return [answer["response"]]
