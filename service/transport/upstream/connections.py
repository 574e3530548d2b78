"""The sockets of one node over Engine.IO's ordinary transports: send, bound, close, look after."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from typing import Any, Protocol

import engineio.packet
import orjson

from service import errors
from service.transport import packets
from service.transport.backlog import Backlog
from service.transport.connection import RECONNECT_REASONS, Frame, event_frame, utf8_size
from service.transport.upstream import incoming
from service.transport.upstream.engine_socket import NodeSocket
from service.transport.upstream.incoming import NAMESPACE, Counter, Incoming, Receiver
from service.transport.upstream.options import other_versions
from service.transport.upstream.room_index import RoomIndex

log = logging.getLogger(__name__)

#: How long a client that we close may take to read its last frames.
LINGER_S = 2.0
#: How often dead, closed and never connected sockets are looked for.
LOOK_EVERY_S = 1.0
SLOW_CLIENT = errors.SlowClient.code
#: What of a request's environ is kept for its connection.
KEPT_ENVIRON = frozenset(
    {
        *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME"),
        *("SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "wsgi.url_scheme", "flask.app"),
        *("HTTP_HOST", "HTTP_ORIGIN", "HTTP_USER_AGENT"),
        *("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"),
    }
)


class Counts(incoming.Counts, Protocol):
    """The figures of this room."""

    @property
    def connects(self) -> Counter: ...
    @property
    def disconnects(self) -> Counter: ...
    @property
    def slow_clients(self) -> Counter: ...


class _AllSeen(set[str]):
    """Engine.IO logs each kind of bad request once as an error, with what the client sent: not here."""

    def __contains__(self, key: object) -> bool:
        return True


class EngineConnections:
    """`Connections` over Engine.IO's ordinary transports, and the way in for their packets.

    Args:
        server: the `socketio.Server` of this node, made with `server_options`.
        node_token: what every sid of this node begins with.
        max_pending_bytes: backlog of one client above which it is closed as `slow_client`.
        counts: figures.
        connect_timeout_s: how long an Engine.IO connection may be without a Socket.IO one.
    """

    def __init__(
        self,
        server: Any,
        *,
        node_token: str,
        max_pending_bytes: int,
        counts: Counts,
        connect_timeout_s: float = 15.0,
    ) -> None:
        self.server = server
        self.eio = server.eio
        self.counts = counts
        self._token = node_token
        self._max_pending_bytes = max_pending_bytes
        self._connect_timeout_s = connect_timeout_s
        self._by_sid: dict[str, NodeSocket] = {}
        self._lingering: deque[tuple[float, NodeSocket]] = deque()
        self._stopped = False
        self._receiver: Receiver
        self.incoming: Incoming

    def serve(self, receiver: Receiver) -> None:
        """Take over the server: call this once, before it listens."""
        self._receiver = receiver
        server, eio = self.server, self.eio
        for name, version in other_versions().items():
            log.warning(
                "this version was not tried with Muster's transport",
                extra={"action": "untried_version", "library": name, "version": version},
            )
        eio.muster = self
        eio.create_queue = self._new_backlog
        eio.generate_id = self._new_sid
        eio.start_service_task = False
        eio.log_message_keys = _AllSeen()
        self._connect_upstream = eio.handlers["connect"]
        self._disconnect_upstream = server.disconnect
        eio.on("connect", self._on_connect)
        self.incoming = Incoming(
            server, receiver, self.counts, eio.handlers["message"], self._opened
        )
        eio.on("message", self.incoming.on_message)
        server.on("disconnect", self._on_disconnect)
        server.disconnect = self._disconnect
        RoomIndex(server.manager)
        if not server.manager_initialized:
            server.manager_initialized = True
            server.manager.initialize()
        server.start_background_task(self._look_after)

    def stop(self) -> None:
        """Stop looking after the sockets; those that are open stay open."""
        self._stopped = True

    # --- Connections

    def send(self, sid: str, frame: Frame) -> None:
        socket = self._by_sid.get(sid)
        if socket is not None:
            socket.queue.put(_packet_of(frame))

    def backlog_bytes(self, sid: str) -> int:
        socket = self._by_sid.get(sid)
        return 0 if socket is None else socket.queue.waiting_bytes

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        socket = self._by_sid.get(sid)
        if socket is not None:
            self._end(socket, last, reason or self.eio.reason.SERVER_DISCONNECT)

    def sids(self) -> list[str]:
        return list(self._by_sid)

    # --- ends

    def _disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        """What `server.disconnect` is from now on: sends what waits, then really closes."""
        socket = self._by_sid.get(sid)
        if socket is not None and namespace in (None, NAMESPACE):
            self._end(socket, None, self.eio.reason.SERVER_DISCONNECT)
        else:
            self._disconnect_upstream(sid, namespace=namespace, ignore_queue=ignore_queue)

    def _end(self, socket: NodeSocket, last: Frame | None, reason: str) -> None:
        """Send the last packets, tell the node, and give the client `LINGER_S` to read them."""
        final = [] if last is None else [_packet_of(last)]
        if reason not in RECONNECT_REASONS:  # clients come back after a lost transport only
            final.append(engineio.packet.Packet(engineio.packet.MESSAGE, packets.DISCONNECT))
            final.append(engineio.packet.Packet(engineio.packet.CLOSE))
        socket.queue.finish(final, drop=reason == SLOW_CLIENT)
        self.linger(socket)
        self.server._handle_disconnect(socket.sid, NAMESPACE, reason)

    def linger(self, socket: NodeSocket) -> None:
        """Cut the connection after `LINGER_S` if it is still there then."""
        self._lingering.append((time.monotonic() + LINGER_S, socket))

    def overflowed(self, socket: NodeSocket) -> None:
        """More than `max_pending_bytes` wait for this client: it is told and closed."""
        self.counts.slow_clients.add("closed")
        error = errors.SlowClient()
        last = event_frame("service_error", orjson.dumps(error.body()))
        # In a task: this may be in the middle of an emit to a room.
        self.server.start_background_task(self._end, socket, last, SLOW_CLIENT)

    def _on_disconnect(self, sid: str, reason: str) -> None:
        socket = self._by_sid.pop(sid, None)
        if socket is not None:
            socket.sid_here = ""
            socket.opened_s = time.monotonic()  # it may connect again, or is closed soon
            self.counts.disconnects.add(reason)
            self._receiver.disconnected(sid, reason)

    # --- the way in

    def _on_connect(self, eio_sid: str, environ: dict[str, Any]) -> Any:
        socket = self.eio.sockets[eio_sid]
        socket.__class__ = NodeSocket
        socket.opened_s = time.monotonic()
        socket.queue.on_overflow = lambda: self.overflowed(socket)
        return self._connect_upstream(
            eio_sid, {name: environ[name] for name in KEPT_ENVIRON if name in environ}
        )

    def _opened(self, socket: NodeSocket, sid: str) -> None:
        self._by_sid[sid] = socket
        self.counts.connects.add()
        environ = self.server.environ.get(socket.sid, {})
        self._receiver.connected(sid, environ.get("REMOTE_ADDR", ""))

    # --- what every socket gets

    def _new_sid(self) -> str:
        return f"{self._token}.{secrets.token_urlsafe(16)}"

    def _new_backlog(self, *_: Any, **__: Any) -> Backlog:
        return Backlog(
            self._max_pending_bytes,
            self.eio.create_event(),
            self.eio.get_queue_empty_exception(),
            is_urgent=_is_ping,
            size_of=_size_of,
        )

    def _look_after(self) -> None:
        due = time.monotonic() + LOOK_EVERY_S
        while not self._stopped:
            self.server.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            late_s, due = now - due, now + LOOK_EVERY_S
            try:
                self._look(now, late_s if late_s > LOOK_EVERY_S else 0.0)
            except Exception:
                log.exception("looking after sockets failed", extra={"action": "look_failed"})

    def _look(self, now: float, paused_s: float) -> None:
        """Close what is dead or never connected, and cut what lingers.

        Args:
            now: monotonic seconds.
            paused_s: this process did not run for so long: pongs may wait unread, so everybody's
                deadline moves.
        """
        reason = self.eio.reason
        for socket in list(self.eio.sockets.values()):
            if socket.closing or socket.closed:
                continue
            if socket.last_ping:
                socket.last_ping += paused_s
                if now - socket.last_ping > self.eio.ping_timeout:
                    socket.close(wait=False, abort=True, reason=reason.PING_TIMEOUT)
                    continue
            if not socket.sid_here and now - socket.opened_s > self._connect_timeout_s:
                socket.close(wait=False, abort=True, reason="connect timeout")
        while self._lingering and self._lingering[0][0] <= now:
            _, socket = self._lingering.popleft()
            socket.close(wait=False, abort=True, reason=reason.SERVER_DISCONNECT)
            socket.cut()
            self.eio.sockets.pop(socket.sid, None)


def _packet_of(frame: Frame) -> Any:
    """The frame as an Engine.IO packet, made once for all its receivers."""
    packet = frame.carrier
    if packet is None:
        packet = frame.carrier = engineio.packet.Packet(engineio.packet.MESSAGE, frame.text)
        packet.size = frame.size + 1
    return packet


def _size_of(packet: Any) -> int:
    """Bytes of an Engine.IO packet on the wire."""
    size = getattr(packet, "size", None)
    if size is None:
        encoded = packet.encode()
        size = packet.size = utf8_size(encoded) if isinstance(encoded, str) else len(encoded)
    return int(size)


def _is_ping(packet: Any) -> bool:
    return bool(packet.packet_type == engineio.packet.PING)
