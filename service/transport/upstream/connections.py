"""The connections of one node over Engine.IO: send, bound, close, watch over."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol

import engineio.packet
import orjson
import socketio.exceptions

from service import errors
from service.errors import ServiceError
from service.native import NATIVE, PYTHON, ReadBy, Reader, Updates
from service.protocol import frames, handshake, packets
from service.transport.addresses import Addresses
from service.transport.backlog import Backlog
from service.transport.connection import RECONNECT_REASONS, Frame, event_frame
from service.transport.http.guard import CLIENT, KNOWN
from service.transport.link import LINGER_S
from service.transport.lost import LostSockets
from service.transport.unauthenticated import UnauthenticatedClients
from service.transport.upstream import incoming, openings, polling, refusals
from service.transport.upstream.deadlines import Pings
from service.transport.upstream.engine_packets import announce_pings, is_ping, packet_of, size_of
from service.transport.upstream.engine_socket import NodeSocket
from service.transport.upstream.environs import AUTHORIZATION, Environs
from service.transport.upstream.event_loop import EventLoopTransport
from service.transport.upstream.incoming import Counter, Incoming, Receiver
from service.transport.upstream.openings import NAMESPACE, Connects
from service.transport.upstream.options import AllSeen, other_versions
from service.transport.upstream.room_index import RoomIndex
from service.transport.wheel import Wheel

log = logging.getLogger(__name__)

#: Connections of one node, unless the caller says otherwise.
MAX_SOCKETS = 100_000
SLOW_CLIENT = errors.SlowClient.code
TICKET = "muster.ticket"
#: What one connection may send before its login: a few tokens and pongs.
MAX_MESSAGES = 32
MAX_BYTES = 32 * 1024
RETRY_AFTER_S = 5.0
_CUT_SHORT = errors.InvalidRequest("The end of the body is missing: nothing of it was taken.")


class Counts(incoming.Counts, Protocol):
    """The figures of connections."""

    @property
    def connects(self) -> Counter: ...
    @property
    def disconnects(self) -> Counter: ...
    @property
    def slow_clients(self) -> Counter: ...
    @property
    def refused(self) -> Counter: ...


class EngineConnections:
    """`Connections` over Engine.IO, and the entry of its packets.

    Args:
        server: the `socketio.Server` of this node, made with `server_options`.
        node_token: what every sid of this node begins with.
        max_pending_bytes: backlog of one client above which it is closed as `slow_client`.
        counts: figures.
        connect_timeout_s: how long an Engine.IO connection may be without a Socket.IO one.
        upgrade_timeout_s: how long a websocket that is to replace polling may take to do so.
        fast_path: let the event loop drive websockets where it can; see `event_loop`.
        max_sockets: Engine.IO connections at one time; more are refused with `overloaded`.
        unauthenticated: counts those that have not logged in.
        addresses: of all of them.
        is_known_at_connect: a connect to namespace `/` is a login; else `known` reports the login.
    """

    linger_s = LINGER_S

    def __init__(
        self,
        server: Any,
        *,
        node_token: str,
        max_pending_bytes: int,
        counts: Counts,
        connect_timeout_s: float = 15.0,
        upgrade_timeout_s: float = 10.0,
        fast_path: bool = True,
        max_sockets: int = MAX_SOCKETS,
        unauthenticated: UnauthenticatedClients | None = None,
        addresses: Addresses | None = None,
        is_known_at_connect: bool = True,
    ) -> None:
        self.server = server
        self.eio = server.eio
        self.counts = counts
        self.count_received = functools.partial(counts.received_bytes.add, "")
        self.connect_timeout_s = connect_timeout_s
        self.upgrade_timeout_s = upgrade_timeout_s
        self.wheel = Wheel(server.sleep, server.start_background_task)
        self.pings = Pings(self.wheel, server.eio.ping_interval)
        self.goes_with_ping: Callable[[str], Frame | None] = lambda sid: None  #: must not block
        self.lost = LostSockets(server.start_background_task, server.sleep)
        #: Opens websockets that the event loop drives; None: all take the library transport.
        self.event_loop: EventLoopTransport | None = None
        #: Reads in C over the event loop transport; None: Python reads everything. And who takes what it has read.
        self.reader: Reader | None = None
        self.on_updates: Callable[[str, Updates], bool] = lambda sid, updates: False
        self.is_busy: Callable[[], bool] = lambda: False  #: whether devices are read in rounds now
        self._token = node_token
        self._max_pending_bytes = max_pending_bytes
        self._fast_path = fast_path
        self._max_sockets = max_sockets
        self._unauthenticated = unauthenticated or UnauthenticatedClients(
            max_messages=MAX_MESSAGES, max_bytes=MAX_BYTES
        )
        self._addresses = addresses or Addresses()
        self._is_known_at_connect = is_known_at_connect
        self._by_sid: dict[str, NodeSocket] = {}
        self._environs = Environs()
        self._admit_upstream: Callable[[str, Any, str], Any] | None = None
        self._admitted: dict[str, Any] = {}
        self._receiver: Receiver
        self.incoming: Incoming

    def serve(
        self, receiver: Receiver, admit: Callable[[str, Any, str], Any] | None = None
    ) -> None:
        """Take over the server: call this once, before it listens.

        Args:
            receiver: gets the events.
            admit: authenticates a client by address, `auth` of the CONNECT packet and Authorization header;
                its result is passed on with the socket, a ServiceError becomes the connect_error. None: no
                authentication.
        """
        self._receiver = receiver
        self._admit_upstream = admit
        self.on_event = receiver.on_event
        self.spend = receiver.spend
        server, eio = self.server, self.eio
        self.event_loop = self._choose_transport()
        eio.muster = self
        eio.create_queue = self._new_backlog
        eio.generate_id = self._new_sid
        eio.start_service_task = False
        eio.log_message_keys = AllSeen()
        eio._ok = functools.partial(refusals.ok, eio._ok)
        self._handle_request = eio.handle_request
        eio.handle_request = self._admit
        self._connect_upstream = eio.handlers["connect"]
        self._disconnect_upstream = server.disconnect
        eio.on("connect", self._on_connect)
        connects = Connects(server, eio.handlers["message"], RoomIndex(server.manager))
        self.incoming = Incoming(server, receiver, self.counts, connects.connect, self._opened)
        if admit is not None:
            server.on("connect", self._on_namespace)
            if self.event_loop is not None:
                connects.handler = server.handlers[NAMESPACE]["connect"]
        server.on("disconnect", self._on_disconnect)
        server.disconnect = self._disconnect
        if not server.manager_initialized:
            server.manager_initialized = True
            server.manager.initialize()
        server.start_background_task(self.wheel.run)

    def _choose_transport(self) -> EventLoopTransport | None:
        async_mode = self.eio.async_mode
        others = other_versions(async_mode)
        for name, version in others.items():
            log.warning(
                "this version was not tried with Muster's transport: websockets take the library transport",
                extra={"action": "untried_version", "library": name, "version": version},
            )
        if not self._fast_path or others or async_mode not in ("eventlet", "gevent"):
            return None
        return EventLoopTransport(
            async_mode,
            self.wheel,
            max_bytes=self.eio.max_http_buffer_size,
            max_pending_bytes=self._max_pending_bytes,
            count_received=self.count_received,
            reader=self.reader,
            is_busy=self.is_busy,
        )

    @property
    def read_by(self) -> ReadBy:
        """Return what reads the updates of devices."""
        return PYTHON if self.reader is None or self.event_loop is None else NATIVE

    def stop(self) -> None:
        """Cut what is still open, and stop watching over it."""
        self.wheel.stop()
        for socket in list(self.eio.sockets.values()):
            socket.cut()
        if self.event_loop is not None:
            self.event_loop.driver.close()

    # --- Connections

    def send(self, sid: str, frame: Frame) -> None:
        socket = self._by_sid.get(sid)
        if socket is not None:
            socket.send_frame(frame)

    def send_all(self, sid: str, packets: list[bytes]) -> None:
        socket = self._by_sid.get(sid)
        if socket is not None:
            socket.send_packets(packets)

    def backlog_bytes(self, sid: str) -> int:
        socket = self._by_sid.get(sid)
        if socket is None:
            return 0
        waiting: int = socket.queue.waiting_bytes
        return waiting if socket.flow is None else waiting + socket.flow.under_way()

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        socket = self._by_sid.get(sid)
        if socket is not None:
            self._end(socket, last, reason or self.eio.reason.SERVER_DISCONNECT)

    def hold(self, sid: str) -> None:
        socket = self._by_sid.get(sid)
        if socket is not None:
            socket.hold()

    def release(self, sid: str) -> None:
        socket = self._by_sid.get(sid)
        if socket is not None:
            socket.release()

    def hold_for(self, sid: str, seconds: float) -> None:
        socket = self._by_sid.get(sid)
        if socket is not None:
            socket.hold_until(self.wheel.now_s + seconds)

    def sids(self) -> list[str]:
        return list(self._by_sid)

    def expect_updates(self, sid: str, owner: object, id_json: bytes) -> None:
        """Give `on_updates` what is read in C of this socket's updates for the session of this id."""
        socket = self._by_sid.get(sid)
        if socket is not None:
            socket.expect((owner, id_json))

    def read_waiting(self) -> None:
        """Read what devices have sent, where that waits for this."""
        if self.event_loop is not None:
            self.event_loop.driver.read_waiting()

    def known(self, sid: str) -> None:
        """Count this socket as logged in."""
        socket = self._by_sid.get(sid)
        if socket is not None:
            socket.known()

    # --- ends

    def _disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        """Send what waits, then really close; replaces `server.disconnect`."""
        socket = self._by_sid.get(sid)
        if socket is not None and namespace in (None, NAMESPACE):
            self._end(socket, None, self.eio.reason.SERVER_DISCONNECT)
        else:
            self._disconnect_upstream(sid, namespace=namespace, ignore_queue=ignore_queue)

    def _end(self, socket: NodeSocket, last: Frame | None, reason: str) -> None:
        """Send the last packets, notify the node, and give the client `LINGER_S` to read them."""
        final = [] if last is None else [packet_of(last)]
        code = frames.GOING_AWAY
        if reason not in RECONNECT_REASONS:  # clients come back after a lost transport only
            final.append(engineio.packet.Packet(engineio.packet.MESSAGE, packets.DISCONNECT))
            final.append(engineio.packet.Packet(engineio.packet.CLOSE))
            code = frames.NORMAL
        socket.finish(final, code, drop=reason == SLOW_CLIENT)
        self.server._handle_disconnect(socket.sid, NAMESPACE, reason)

    def overflowed(self, socket: NodeSocket) -> None:
        """Close a client for which more than `max_pending_bytes` wait, with an error."""
        self.counts.slow_clients.add("closed")
        error = errors.SlowClient()
        last = event_frame("service_error", orjson.dumps(error.body()))
        # In a task: this may be in the middle of an emit to a room.
        self.server.start_background_task(self._end, socket, last, SLOW_CLIENT)

    def _on_disconnect(self, sid: str, reason: str) -> None:
        socket = self._by_sid.pop(sid, None)
        self._admitted.pop(sid, None)  # it closed before it was announced
        if socket is not None:
            socket.sid_here = ""
            socket.closed_here()
            self.counts.disconnects.add(reason)
            self._receiver.disconnected(sid, reason)

    # --- input

    def _admit(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Limit the connections of this node; replaces `eio.handle_request`.

        Counted here because the web server does not know of those that were detached from it.
        """
        query = openings.query_of(environ)
        sids = query.get("sid")
        refuse_request = functools.partial(
            refusals.refuse_request, self.eio, self.counts.refused, environ, start_response
        )
        refuse = functools.partial(refusals.refuse, self.eio, environ, start_response)
        if query.get("transport") != ["websocket"]:
            environ.pop(handshake.UPGRADE, None)  # some proxies put it on every request
        if fault := refusals.fault_of(environ, query):
            return refuse_request(*fault)
        if sids:
            socket = self.eio.sockets.get(sids[0])
            if socket is not None and KNOWN in environ:
                socket.when_known(environ[KNOWN])
            if socket is not None and environ["REQUEST_METHOD"] == "POST":
                try:
                    polling.read_body(socket, environ)
                except polling.CutShort:  # nothing of it counts, and its sender may repeat it
                    return refuse("400 Bad Request", _CUT_SHORT)
                if socket.closed:  # engineio/server.py:318 would raise: now the session is unknown
                    self.eio.sockets.pop(sids[0], None)
            return self._handle_request(environ, start_response)
        if len(self.eio.sockets) >= self._max_sockets:
            error: ServiceError = errors.Overloaded(
                "This node has as many connections as it can take."
            )
            return refuse("503 Service Unavailable", error)
        address = environ.get("REMOTE_ADDR", "")
        words = f"One address may have {self._addresses.most} connections to a node."
        ticket = None
        if self._addresses.has_room(address):
            words = "Too many connections have not logged in yet."
            ticket = self._unauthenticated.enter(address)
        if ticket is None:
            error = errors.RateLimited(words, retry_after_s=RETRY_AFTER_S)
            return refuse("429 Too Many Requests", error)
        environ[TICKET] = ticket
        try:
            if self.event_loop is not None and openings.is_usual(self.eio, environ, query):
                return openings.open_websocket(self.eio, environ, start_response)
            return self._handle_request(environ, start_response)
        finally:
            if environ.pop(TICKET, None) is not None:
                ticket.leave()  # it did not become a connection

    def _on_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        socket = self.eio.sockets[eio_sid]
        socket.__class__ = NodeSocket
        announce_pings(socket.queue, self.eio.ping_interval, self.eio.ping_timeout)
        self.enter(socket, environ)

    def enter(self, socket: NodeSocket, environ: dict[str, Any]) -> None:
        """Count a new connection, and keep what is needed of its first request."""
        socket.ticket = environ.pop(TICKET)
        socket.leave_address = self._addresses.enter(environ.get("REMOTE_ADDR", ""))
        socket.notify_known = environ.get(KNOWN)
        socket.queue.on_overflow = lambda: self.overflowed(socket)
        if CLIENT in environ:
            environ[CLIENT].watch_end()
        self._connect_upstream(socket.sid, self._environs.slim(environ))

    def _opened(self, socket: NodeSocket, sid: str) -> None:
        self._by_sid[sid] = socket
        self.counts.connects.add()
        if self._is_known_at_connect:
            socket.known()
        address = self.server.environ.get(socket.sid, {}).get("REMOTE_ADDR", "")
        if self._admit_upstream is None:
            self._receiver.connected(sid, address)
        else:
            self._receiver.connected(sid, address, self._admitted.pop(sid))

    def _on_namespace(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        """Handle python-socketio's `connect`: authenticate, and forget the credentials."""
        assert self._admit_upstream is not None
        authorization = environ.get(AUTHORIZATION, "")
        try:
            passed = self._admit_upstream(environ.get("REMOTE_ADDR", ""), auth, authorization)
        except ServiceError as error:
            raise socketio.exceptions.ConnectionRefusedError(error.message, error.body()) from None
        environ.pop(AUTHORIZATION, None)
        self._admitted[sid] = passed

    # --- for every socket

    def _new_sid(self) -> str:
        return f"{self._token}.{openings.noise()}"

    def _new_backlog(self, *_: Any, **__: Any) -> Backlog:
        eio, most = self.eio, self._max_pending_bytes
        return Backlog(most, eio.create_event, eio.get_queue_empty_exception(), is_ping, size_of)
