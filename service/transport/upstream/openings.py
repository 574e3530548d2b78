"""Openings: how a request for a new websocket becomes an Engine.IO connection, and that a client of namespace `/`.

Does what the libraries do with what is usual, with a third of their calls: thousands come at once when a fleet returns.
A GET of transport websocket with nothing unusual in it is what engineio/server.py:188 and :407 do; all else goes to
`eio.handle_request`.
"""

from __future__ import annotations

import functools
import os
from binascii import b2a_base64
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import orjson
import socketio.packet
from socketio.exceptions import ConnectionRefusedError as Refused

from service.protocol import handshake, packets
from service.transport.connection import Frame
from service.transport.upstream.engine_packets import opening
from service.transport.upstream.engine_socket import NodeSocket
from service.transport.upstream.room_index import RoomIndex

NAMESPACE = "/"

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
    socket = NodeSocket(eio, sid)
    socket.opening = opening(sid, eio)
    muster.enter(socket, environ)
    eio.sockets[sid] = socket  # only now: if that failed, no ping would ever find that it is dead
    socket.schedule_ping()
    answer = socket.handle_get_request(environ, start_response)
    if socket.closed:
        eio.sockets.pop(sid, None)
    if not isinstance(answer, dict):
        return answer
    start_response(answer["status"], answer["headers"] + eio._cors_headers(environ))
    return [answer["response"]]


class Connects:
    """How the Engine.IO connections of one server become clients of namespace `/`.

    Does what socketio/server.py:518 does with a CONNECT that names no namespace: the `connect` handler of
    `EngineConnections`, `pre_connect` and `connect` of the manager, between which nothing comes here, and the answer.
    All else goes to python-socketio's own handler.

    Args:
        upstream: python-socketio's own handler of messages.
        rooms: of the server's manager.
    """

    #: The handler of `connect` in namespace `/`, where that is ours; None: python-socketio calls whatever is there.
    handler: Callable[[str, dict[str, Any], Any], None] | None = None

    def __init__(self, server: Any, upstream: Callable[[str, Any], None], rooms: RoomIndex) -> None:
        self._server = server
        self._upstream = upstream
        self._rooms = rooms

    def connect(self, socket: NodeSocket, data: str) -> str | None:
        """Return the sid that a client gets by a CONNECT to `/`; None: it was refused, and that is answered.

        Raises:
            Exception: it is broken.
        """
        server = self._server
        handler = self.handler
        if (
            handler is None
            or (data != packets.CONNECT and data[1] != "{")
            or self._rooms.has(NAMESPACE, socket.sid)
            or server.handlers[NAMESPACE].get("connect") is not handler
        ):
            return self._connect_upstream(socket, data)
        auth = orjson.loads(data[1:]) if len(data) > 1 else None
        sid: str = server.eio.generate_id()
        try:
            handler(sid, server.environ[socket.sid], auth or None)
        except Refused as refused:
            answer = server.packet_class(
                socketio.packet.CONNECT_ERROR, data=refused.error_args, namespace=NAMESPACE
            )
            server._send_packet(socket.sid, answer)
            return None
        self._rooms.connect(sid, NAMESPACE, socket.sid)
        socket.send_frame(Frame(b'0{"sid":%b}' % orjson.dumps(sid)))
        return sid

    def _connect_upstream(self, socket: NodeSocket, data: str) -> str | None:
        self._upstream(socket.sid, data)
        manager = self._server.manager
        sid: str | None = manager.sid_from_eio_sid(socket.sid, NAMESPACE)
        return sid if sid is not None and manager.is_connected(sid, NAMESPACE) else None
