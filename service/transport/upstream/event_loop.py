"""The event loop transport: from the handshake to a websocket that needs no task.

Used where the libraries have the versions that `upstream` was written for and the connection is a plain
socket. Everything behind `NodeSocket` is the same on both transports.

A websocket that is to replace polling is a `Probe` until its client has completed the upgrade: `2probe`,
`3probe`, the waiting poll is ended by a NOOP, `5`. What waited for the next poll is then sent over the
websocket, in its order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import engineio.packet

from service.protocol import frames, handshake
from service.protocol.frames import Fault
from service.transport.driver import Driver
from service.transport.hub import hub_of
from service.transport.link import Link
from service.transport.turns import Turns
from service.transport.upstream.ports import EngineSocket
from service.transport.upstream.takeover import CannotDetach, detach
from service.transport.wheel import Wheel

log = logging.getLogger(__name__)

__all__ = ["CannotDetach", "EventLoopTransport", "LinkQueue", "Probe", "frame_of"]


#: Links of strangers read in one turn of the loop; such a read takes a fraction of a request.
LINKS_PER_TURN = 6


class EventLoopTransport:
    """Opens websockets of one server.

    Args:
        async_mode: eventlet or gevent.
        wheel: deadlines of all sockets of the node.
    """

    def __init__(
        self,
        async_mode: str,
        wheel: Wheel,
        *,
        max_bytes: int,
        max_pending_bytes: int,
        count_received: Callable[[int], object],
    ) -> None:
        self._async_mode = async_mode
        hub = hub_of(async_mode)
        self.driver = Driver(
            hub, wheel, max_bytes, max_pending_bytes, count_received, Turns(hub, LINKS_PER_TURN)
        )

    def open(self, socket: EngineSocket, environ: dict[str, Any]) -> None:
        """Answer a valid handshake, and attach its connection to the socket.

        Raises:
            CannotDetach: the library transport has to serve it; nothing was changed.
        """
        raw, early = detach(self._async_mode, environ)
        ticket = socket.ticket if socket.is_stranger else None
        if socket.connected:
            probe = Probe(socket)
            probe.link = link = Link(raw, probe, self.driver, ticket)
            socket.begin_upgrade(probe)
            link.send(handshake.answer(environ))
        else:
            link = Link(raw, socket, self.driver, ticket)
            link.send(handshake.answer(environ))
            socket.attach(link)
        link.start(early)


class LinkQueue:
    """A socket's queue as Engine.IO sees it: packets go to the link at once."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def finished(self) -> bool:
        return self._link.is_finished

    @property
    def waiting_bytes(self) -> int:
        return self._link.waiting_bytes

    def put(self, packet: Any) -> None:
        """Send a packet; None is the end."""
        if packet is None:
            self._link.finish([], frames.NORMAL)
        else:
            self._link.send(frame_of(packet))

    def finish(self, last: list[Any], *, drop: bool, code: int) -> None:
        """Send these packets and close; see `Link.finish`."""
        self._link.finish([frame_of(packet) for packet in last], code, drop=drop)

    def task_done(self) -> None:
        """Part of the interface; nobody waits for it."""

    def join(self) -> None:
        """Part of the interface; nothing is waited for."""


class Probe:
    """A websocket that wants to replace its client's polling; the link's owner until then."""

    def __init__(self, socket: EngineSocket) -> None:
        self.link: Link
        self._socket = socket
        self._is_probed = False

    def on_text(self, text: str) -> None:
        if not self._is_probed and text == "2probe":
            self._is_probed = True
            self.link.send(frames.encode(frames.TEXT, b"3probe"))
            self._socket.queue.put(engineio.packet.Packet(engineio.packet.NOOP))  # ends the poll
        elif self._is_probed and text == "5" and not self._socket.closed:
            self._socket.finish_upgrade(self.link)
        else:
            self.link.finish([], frames.NORMAL)

    def on_binary(self, data: bytes | bytearray) -> None:
        self.link.finish([], frames.NORMAL)

    def on_fault(self, fault: Fault) -> bytes:
        return b""

    def on_overflow(self) -> None:
        self.link.cut()

    def on_lost(self) -> None:
        self._socket.give_up_upgrade(self)

    def on_cut(self) -> None:
        self._socket.give_up_upgrade(self)


def frame_of(packet: Any) -> bytes:
    """Return the websocket frame of an Engine.IO packet, made once for all its receivers."""
    frame: bytes | None = getattr(packet, "frame", None)
    if frame is None:
        encoded = packet.encode()
        if isinstance(encoded, str):
            frame = frames.encode(frames.TEXT, encoded.encode())
        else:
            frame = frames.encode(frames.BINARY, encoded)
        packet.frame = frame
    return frame
