"""The event loop transport: from the handshake to a websocket that needs no task.

Used where the libraries are those that `upstream` was written for and the connection is a plain socket.
Everything behind `NodeSocket` is the same on both transports. A websocket that is to replace polling belongs to a
`LinkUpgrade` until its client has gone through with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from service.native import Reader, Updates
from service.protocol import frames, handshake
from service.protocol.frames import Fault
from service.transport.driver import Driver
from service.transport.hub import hub_of
from service.transport.link import Link
from service.transport.peer import Flow, keep_little_unsent
from service.transport.turns import Turns
from service.transport.upstream.engine_packets import frame_of
from service.transport.upstream.ports import EngineSocket
from service.transport.upstream.takeover import CannotDetach, detach
from service.transport.upstream.upgrade import PROBED, Upgrade
from service.transport.wheel import Wheel

log = logging.getLogger(__name__)

__all__ = ["CannotDetach", "EventLoopTransport", "LinkQueue", "LinkUpgrade"]


#: Links of unauthenticated clients read in one turn of the loop; such a read takes a fraction of a request.
LINKS_PER_TURN = 6


class EventLoopTransport:
    """Opens websockets of one server.

    Args:
        async_mode: eventlet or gevent.
        wheel: deadlines of all sockets of the node.
        reader: reads in C; None: Python does.
        is_busy: whether devices are read in rounds, at the moment.
    """

    def __init__(
        self,
        async_mode: str,
        wheel: Wheel,
        *,
        max_bytes: int,
        max_pending_bytes: int,
        count_received: Callable[[int], object],
        reader: Reader | None = None,
        is_busy: Callable[[], bool],
    ) -> None:
        self._async_mode = async_mode
        hub = hub_of(async_mode)
        turns = Turns(hub, LINKS_PER_TURN)
        self.driver = Driver(
            hub, wheel, max_bytes, max_pending_bytes, count_received, turns, reader, is_busy
        )

    def open(self, socket: EngineSocket, environ: dict[str, Any]) -> None:
        """Answer a valid handshake, and attach its connection to the socket.

        Raises:
            CannotDetach: the library transport has to serve it; nothing was changed.
        """
        raw, early = detach(self._async_mode, environ)
        keep_little_unsent(raw)
        flow = Flow(raw)
        ticket = socket.ticket if socket.is_unauthenticated else None
        if socket.connected:
            upgrade = LinkUpgrade(socket)
            upgrade.flow = flow
            upgrade.link = link = Link(flow, upgrade, self.driver, ticket)
            link.send(handshake.answer(environ))
        else:
            link = Link(flow, socket, self.driver, ticket)
            link.send(handshake.answer(environ))
            socket.attach(link, flow)
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
        """Part of the interface; nothing waits for it."""

    def join(self) -> None:
        """Part of the interface; nothing is waited for."""


class LinkUpgrade(Upgrade):
    """An upgrade over a link, whose owner it is until then."""

    link: Link
    flow: Flow

    def cut(self) -> None:
        self.link.cut()

    def let_in(self) -> None:
        self.link.ticket = None

    def on_text(self, text: str) -> None:
        if self.is_probe(text):
            self.link.send(frames.encode(frames.TEXT, PROBED.encode()))
        elif self.is_done(text):
            self.end()
            self.socket.attach(self.link, self.flow)
            self.link.hand_over(self.socket)
        else:
            self.link.finish([], frames.NORMAL)

    def on_binary(self, data: bytes | bytearray) -> None:
        self.link.finish([], frames.NORMAL)

    def on_updates(self, updates: Updates) -> bool:
        return False

    def on_control(self, size: int) -> None:
        self.socket.on_control(size)

    def on_fault(self, fault: Fault) -> bytes:
        return b""

    def on_overflow(self) -> None:
        self.link.cut()

    def on_lost(self) -> None:
        self.end()

    def on_cut(self) -> None:
        self.end()
