"""Incoming packets: Engine.IO messages become events of the dispatcher, everything else is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import engineio.packet
import orjson

from service import errors
from service.errors import ServiceError
from service.protocol import packets
from service.transport.connection import event_frame
from service.transport.upstream.engine_socket import NodeSocket
from service.transport.upstream.openings import NAMESPACE

log = logging.getLogger(__name__)

NO_BINARY = "Binary data is not taken: send JSON."
#: The last packet to a socket that sends anything else before its CONNECT.
_NOT_CONNECTED = engineio.packet.Packet(
    engineio.packet.MESSAGE,
    packets.CONNECT_ERROR + '{"message":"Connect to the namespace `/` first."}',
)


def _no_namespace(name: str) -> Any:
    """Build the answer to a CONNECT to any namespace but `/`; python-socketio's own has no `message`."""
    words = '{"message":"There is only the namespace `/`."}'
    return engineio.packet.Packet(engineio.packet.MESSAGE, f"{packets.CONNECT_ERROR}{name},{words}")


class Receiver(Protocol):
    """Receives sockets and events; see `service.sockets.dispatch`."""

    def connected(self, sid: str, address: str, passed: Any = ..., /) -> None: ...
    def disconnected(self, sid: str, reason: str) -> None: ...
    def on_event(self, sid: str, ack_id: int | None, text: str) -> None: ...
    def on_ack(self, sid: str, number: int, said: str | ServiceError) -> bool: ...
    def on_cut_short(self, sid: str, start: str, error: ServiceError) -> None: ...
    def spend(self, sid: str, size: int) -> None: ...
    def reject(self, sid: str, ack_id: int | None, error: ServiceError, size: int) -> None: ...


class Counter(Protocol):
    """A counter, by label value where it has a label."""

    def add(self, value: str = "", count: float = 1) -> None: ...


class Counts(Protocol):
    """The figures of incoming packets."""

    @property
    def bad_input(self) -> Counter: ...
    @property
    def received_bytes(self) -> Counter: ...


class Incoming:
    """Packets of all sockets of one server.

    Args:
        server: the `socketio.Server`.
        connect: handles a CONNECT to `/`; see `Connects`.
        opened: called with a socket and its new sid when it is connected to namespace `/`.
    """

    def __init__(
        self,
        server: Any,
        receiver: Receiver,
        counts: Counts,
        connect: Callable[[NodeSocket, str], str | None],
        opened: Callable[[NodeSocket, str], None],
    ) -> None:
        self._server = server
        self._eio = server.eio
        self._receiver = receiver
        self._counts = counts
        self._connect = connect
        self._opened = opened

    def on_packet(self, socket: NodeSocket, data: str) -> None:
        """Take one Socket.IO packet. Never raises, never blocks."""
        if socket.closed or socket.queue.finished:
            return  # it is being closed: nothing can be answered any more
        sid = socket.sid_here
        head = packets.read_head(data)
        if head is None:
            self.refuse(socket, None, "packet", "This is no Socket.IO packet.", len(data))
            return
        socket.swallow = head.attachments
        if head.kind == packets.CONNECT:
            self._on_open(socket, head, data)
        elif head.kind == packets.DISCONNECT:
            if head.namespace == NAMESPACE:
                reason = self._eio.reason.CLIENT_DISCONNECT
                socket.run(lambda: self._server._handle_disconnect(socket.sid, NAMESPACE, reason))
        elif not sid:
            self._refuse_unconnected(socket)
        elif head.namespace != NAMESPACE:
            number = head.number if head.kind in (packets.EVENT, packets.BINARY_EVENT) else None
            self.refuse(socket, number, "namespace", "There is only the namespace `/`.", len(data))
        elif head.kind == packets.EVENT:
            self._receiver.on_event(sid, head.number, head.body)
        elif head.kind in (packets.ACK, packets.BINARY_ACK):
            self._on_ack(socket, head, len(data))
        elif head.kind == packets.BINARY_EVENT:
            self.refuse(socket, head.number, "binary", NO_BINARY, len(data))
        else:
            self.refuse(socket, None, "packet", "Only the service sends this packet.", len(data))

    def on_rare(self, socket: NodeSocket, encoded: str) -> None:
        """Handle one Engine.IO packet that carries no Socket.IO packet."""
        reason = self._eio.reason.CLIENT_DISCONNECT
        try:
            packet = engineio.packet.Packet(encoded_packet=encoded)
            if isinstance(packet.data, bytes | bytearray):
                self.on_binary(socket, len(packet.data))
            elif packet.packet_type == engineio.packet.CLOSE:
                socket.run(lambda: socket.close(wait=False, abort=True, reason=reason))
            elif packet.packet_type == engineio.packet.UPGRADE:
                socket.queue.put(engineio.packet.Packet(engineio.packet.NOOP))
                socket.spend(len(encoded))
            elif packet.packet_type in (engineio.packet.PONG, engineio.packet.NOOP):
                socket.spend(len(encoded))
            else:
                raise ValueError
            if packet.packet_type == engineio.packet.PONG:
                socket.pinged_s = None
        except (ValueError, TypeError, LookupError):
            self.refuse(socket, None, "packet", "This is no Engine.IO packet.", len(encoded))

    def on_binary(self, socket: NodeSocket, size: int) -> None:
        """Handle so many bytes of binary data: an attachment of a refused packet, or nothing we know."""
        if socket.closed or socket.queue.finished:
            return
        if socket.swallow > 0:
            socket.swallow -= 1
            socket.spend(size)
            return
        self.refuse(socket, None, "packet", "This is no Socket.IO packet.", size)

    def refuse(
        self, socket: NodeSocket, ack_id: int | None, kind: str, words: str, size: int
    ) -> None:
        """Answer something of so many bytes that was no event.

        The connection stays if it is one of Socket.IO; else it ends.
        """
        if socket.queue.finished:
            return
        self._counts.bad_input.add(kind)
        if socket.sid_here:
            self._receiver.reject(socket.sid_here, ack_id, errors.InvalidRequest(words), size)
        else:
            socket.send_away(_NOT_CONNECTED)

    def may_say_more(self, socket: NodeSocket, size: int) -> bool:
        """Return whether a socket that has not connected yet may send this packet; else end it."""
        ticket = socket.ticket
        # The bytes of a link are counted where they are read.
        if ticket is None or ticket.spend(1, 0 if socket.link is not None else size):
            return True
        if not socket.queue.finished:
            self._counts.bad_input.add("not_connected")
            socket.send_away(_NOT_CONNECTED)
        return False

    def refuse_size(self, socket: NodeSocket, start: bytes) -> str:
        """Count a message that is too long; return the Engine.IO text that answers it.

        Args:
            start: how it begins. The command that it answers has failed: no client should wait for it.
        """
        self._counts.bad_input.add("too_large")
        most = self._eio.max_http_buffer_size
        error = errors.TooLarge(f"A message may have {most} bytes.", max_bytes=most)
        for encoded in start.decode(errors="ignore").split(packets.SEPARATOR):
            head = packets.read_head(encoded[1:]) if encoded[:1] == packets.MESSAGE else None
            if head is None or head.namespace != NAMESPACE or not socket.sid_here:
                continue
            if head.kind == packets.ACK and head.number:
                self._receiver.on_ack(socket.sid_here, head.number, error)
            elif head.kind == packets.EVENT:
                self._receiver.on_cut_short(socket.sid_here, head.body, error)
        frame = event_frame("service_error", orjson.dumps(error.body()))
        return f"{engineio.packet.MESSAGE}{frame.text}"

    def _on_open(self, socket: NodeSocket, head: packets.Head, data: str) -> None:
        """Handle a CONNECT. What is called is ours, and does not block."""
        if socket.sid_here and head.namespace == NAMESPACE:
            self.refuse(socket, None, "packet", "This socket is already connected.", len(data))
            return
        if head.namespace != NAMESPACE:
            self._counts.bad_input.add("namespace")
            socket.queue.put(_no_namespace(head.namespace))
            return
        try:
            sid = self._connect(socket, data)
        except Exception as error:  # noqa: BLE001  whatever is wrong with what the client sent
            log.debug("connect refused", extra={"action": "connect_refused", "error": repr(error)})
            self._refuse_unconnected(socket)
            return
        if sid is not None and not socket.sid_here:
            socket.sid_here = sid
            socket.let_in()
            self._opened(socket, sid)

    def _on_ack(self, socket: NodeSocket, head: packets.Head, size: int) -> None:
        """Handle the answer to an event of ours; one with binary data is none that can be read."""
        is_binary = head.kind == packets.BINARY_ACK
        number = head.number
        socket.spend(size)
        if not number:  # python-socketio keeps its counter under 0
            self.refuse(socket, None, "packet", "This ack has no number.", size)
            return
        said = errors.InvalidRequest(NO_BINARY) if is_binary else head.body
        if self._receiver.on_ack(socket.sid_here, number, said):
            if is_binary:
                self.refuse(socket, None, "binary", NO_BINARY, size)
            return
        try:
            arguments = orjson.loads(head.body) if head.body and not is_binary else []
        except orjson.JSONDecodeError:
            arguments = []
        self._server_ack(socket, number, arguments if isinstance(arguments, list) else [])

    def _server_ack(self, socket: NodeSocket, number: int, arguments: list[Any]) -> None:
        """Handle the answer to an event of python-socketio's own, whose callback may block."""
        sid = socket.sid_here

        def call() -> None:
            try:
                self._server.manager.trigger_callback(sid, number, arguments)
            except Exception:
                about = {"action": "ack_failed", "throttle": "ack"}
                log.exception("an ack callback failed", extra=about)

        socket.run(call)

    def _refuse_unconnected(self, socket: NodeSocket) -> None:
        self._counts.bad_input.add("not_connected")
        socket.send_away(_NOT_CONNECTED)
