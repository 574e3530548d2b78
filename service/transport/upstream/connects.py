"""Connects: how an Engine.IO connection becomes a client of namespace `/`, with a third of the library's calls.

Does what socketio/server.py:518 does with a CONNECT that names no namespace: the `connect` handler of
`EngineConnections`, `pre_connect` and `connect` of the manager, between which nothing comes here, and the answer. All
else goes to python-socketio's own handler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import socketio.packet
from socketio.exceptions import ConnectionRefusedError as Refused

from service.protocol import packets
from service.transport.connection import Frame
from service.transport.upstream.engine_socket import NodeSocket
from service.transport.upstream.room_index import RoomIndex

NAMESPACE = "/"


class Connects:
    """CONNECTs of one server.

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
