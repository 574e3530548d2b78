"""Sockets of a simulated node: what `service.transport` is to a real one, without bytes.

Each client has a line of its own. Packets travel both ways in order, with a delay that the seed draws; the
lines of a node may be cut, deaf or slow together.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any

from socketio.packet import Packet

from chaos.proxy import Line
from chaos.simulation.scheduler import Process, Scheduler
from chaos.socket import _numbered
from service.native import PYTHON
from service.transport.connection import RECONNECT_REASONS, Frame

#: One way takes between these, s.
FASTEST_S, SLOWEST_S = 0.0005, 0.02
#: After so long without an answer both sides take the other one for dead.
SILENCE_S = 5.0
#: What a client's own buffers take, bytes; the rest waits at the node.
TAKEN_BYTES = 2 * 1024


class Crossing:
    """One direction of a line: packets arrive one by one, in order."""

    def __init__(
        self, scheduler: Scheduler, to: Process, lines: ClientLines, take: Callable[[Any], object]
    ) -> None:
        self._scheduler = scheduler
        self._to = to
        self._lines = lines
        self._take = take
        self.waiting: deque[Any] = deque()
        self._is_moving = False

    def send(self, packet: Any) -> None:
        """Put a packet behind those that travel."""
        self.waiting.append(packet)
        if not self._is_moving:
            self._is_moving = True
            self._scheduler.spawn(self._to, self._move)

    def _move(self) -> None:
        while self.waiting:
            self._lines.travel(len(self.waiting[0] or b""))
            if self.waiting:
                self._take(self.waiting.popleft())
        self._is_moving = False


class ClientLine:
    """One client's connection to a node.

    Args:
        deliver: Gets what arrives at the client: text of Engine.IO, or None: it is over.
    """

    def __init__(
        self, sockets: SimulatedSockets, people: Process, deliver: Callable[[str | None], object]
    ) -> None:
        self.sid = ""
        self.eio_sid = sockets.generate_id()
        self.sockets = sockets
        self.is_over = False  # at the node
        self.is_held = False
        self._deliver = deliver
        self._held: list[str | None] = []
        scheduler, lines = sockets.scheduler, sockets.lines
        self.up = Crossing(scheduler, sockets.process, lines, self._arrived)
        self.down = Crossing(scheduler, people, lines, deliver)

    def close(self) -> None:
        """End it from the client's side: what was sent before still arrives."""
        self.up.send(None)

    def cut(self) -> None:
        """Break it: what is on its way is lost, and both sides learn it."""
        self.up.waiting.clear()
        self.down.waiting.clear()
        self.up.send(None)
        self.down.send(None)

    def _arrived(self, text: str | None) -> None:
        if self.is_held:
            self._held.append(text)
        elif text is None:
            self.sockets.left(self, "transport close")
        else:
            self.sockets.received(self, text)

    def release(self) -> None:
        """Take what waited."""
        self.is_held = False
        held, self._held = self._held, []
        for text in held:
            self._arrived(text)


class ClientLines:
    """What lies between people and a node; has the interface of a `chaos.proxy.Proxy`."""

    def __init__(self, scheduler: Scheduler, port: int) -> None:
        self.port = port
        self.scheduler = scheduler
        self.open: list[ClientLine] = []
        self.requests: dict[asyncio.Future[Any], None] = {}  # that wait for their answers
        self._line = Line()
        self._since = 0.0
        self._healed = scheduler.event()

    @property
    def line(self) -> Line:
        """Return the condition of the lines."""
        return self._line

    @line.setter
    def line(self, line: Line) -> None:
        self._line = line
        self._since = self.scheduler.now

    @property
    def deaf_for_s(self) -> float:
        """Return for how long nothing has passed."""
        return self.scheduler.now - self._since if self._line.deaf else 0.0

    def heal(self) -> None:
        """Let everything pass again; what was held back arrives now."""
        self._line = Line()
        self._healed.set()
        self._healed.clear()

    def cut(self) -> int:
        """Break the connections of all clients."""
        cut, self.open = self.open, []
        for line in cut:
            line.cut()
        requests, self.requests = self.requests, {}
        for request in requests:
            if not request.done():
                request.set_exception(OSError("Connection reset by peer"))
        return len(cut)

    def travel(self, size: int) -> None:
        """Let so many bytes go one way."""
        narrow = self._line.bytes_per_s
        delay_s = self._line.delay_s + (size / narrow if narrow else 0.0)
        self.scheduler.sleep(self.scheduler.secrets.uniform(FASTEST_S, SLOWEST_S) + delay_s)
        while self._line.deaf:
            self._healed.wait()


class SimulatedSockets:
    """`service.transport.connection.Connections` of one node, and what python-socketio asks of its server."""

    packet_class = Packet
    manager_initialized = True
    logger = None
    read_by = PYTHON

    def __init__(
        self, scheduler: Scheduler, process: Process, lines: ClientLines, token: str
    ) -> None:
        self.scheduler = scheduler
        self.process = process
        self.lines = lines
        self.manager: Any = None
        self._token = token
        self._by_sid: dict[str, ClientLine] = {}
        self._receiver: Any = None
        self._admit: Any = None
        self._is_stopped = False

    # -- what the node's steps call

    def serve(self, receiver: Any, admit: Any) -> None:
        """Take clients from now on."""
        self._receiver, self._admit = receiver, admit
        self.manager.initialize()
        self.scheduler.spawn(self.process, self._watch)

    def stop(self) -> None:
        """Cut what is still open."""
        self._is_stopped = True
        for line in list(self._by_sid.values()):
            line.down.send(None)

    def known(self, sid: str) -> None:
        """Know that a socket is a device's."""

    # -- Connections

    def expect_updates(self, sid: str, owned: object, shown: bytes) -> None:
        """Leave updates to the dispatcher: nothing native reads here."""

    def read_waiting(self) -> None:
        """Leave nothing to be read: all that comes is read at once here."""

    def send(self, sid: str, frame: Frame) -> None:
        """Send a frame."""
        line = self._by_sid.get(sid)
        if line is not None:
            line.down.send("4" + frame.text)

    def send_all(self, sid: str, packets: list[bytes]) -> None:
        """Send frames."""
        for packet in packets:
            self.send(sid, Frame(packet))

    def backlog_bytes(self, sid: str) -> int:
        """Return what travels beyond what the client's own buffers take."""
        line = self._by_sid.get(sid)
        if line is None:
            return 0
        return max(0, sum(len(text or "") for text in line.down.waiting) - TAKEN_BYTES)

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        """Send the last frame, and end the connection."""
        line = self._by_sid.get(sid)
        if line is None:
            return
        if last is not None:
            self.send(sid, last)
        reason = reason or "server disconnect"
        if reason not in RECONNECT_REASONS:
            line.down.send("41")
        line.down.send(None)
        self.left(line, reason)

    def hold(self, sid: str) -> None:
        """Take nothing more from this socket until `release`."""
        if sid in self._by_sid:
            self._by_sid[sid].is_held = True

    def release(self, sid: str) -> None:
        """Take from this socket again."""
        if sid in self._by_sid:
            self.scheduler.spawn(self.process, self._by_sid[sid].release)

    def hold_for(self, sid: str, seconds: float) -> None:
        """Hold it for so long."""
        self.hold(sid)
        self.scheduler.spawn(self.process, self.release, sid, after_s=seconds)

    def sids(self) -> list[str]:
        """Return all sockets."""
        return list(self._by_sid)

    def _watch(self) -> None:
        """End all sockets that have not answered for too long."""
        while not self._is_stopped:
            self.scheduler.sleep(1.0)
            if self.lines.deaf_for_s > SILENCE_S:
                for line in list(self._by_sid.values()):
                    line.down.send(None)  # arrives when the line is whole again
                    self.left(line, "ping timeout")

    # -- what lines call

    def connect(self, line: ClientLine) -> None:
        """Take a client: its connect has arrived."""
        if self._receiver is None or self._is_stopped:
            line.down.send(None)
            return
        line.sid = self.manager.pre_connect(line.eio_sid, "/")
        self.manager.connect(line.sid, "/")
        self._by_sid[line.sid] = line
        line.down.send("40")
        identity = self._admit("127.0.0.1", None, "")
        self._receiver.connected(line.sid, "127.0.0.1", identity)

    def received(self, line: ClientLine, text: str) -> None:
        """Take a packet of Engine.IO."""
        if text == "40":
            self.connect(line)
        elif line.is_over or not line.sid:
            return
        elif text.startswith("42"):
            number = text[2:].partition("[")[0]
            body = text[2 + len(number) :]
            self._receiver.on_event(line.sid, int(number) if number else None, body)
        elif text.startswith("43"):
            wanted, _ = _numbered(text[2:])
            self._receiver.on_ack(line.sid, wanted, text[2:].lstrip("0123456789"))

    def left(self, line: ClientLine, reason: str) -> None:
        """Forget a socket that is over, and say so."""
        if line in self.lines.open:
            self.lines.open.remove(line)
        if line.is_over or not line.sid:
            line.is_over = True
            return
        line.is_over = True
        del self._by_sid[line.sid]
        self.manager.disconnect(line.sid, "/", ignore_queue=True)
        self._receiver.disconnected(line.sid, reason)

    # -- what python-socketio calls

    @property
    def eio(self) -> Any:
        """Return what makes sids."""
        return self

    def generate_id(self) -> str:
        """Make a sid."""
        return f"{self._token}.{secrets.token_urlsafe(16)}"

    def _send_eio_packet(self, eio_sid: str, packet: Any) -> None:
        for line in self._by_sid.values():
            if line.eio_sid == eio_sid:
                line.down.send(packet.encode())
                return

    def disconnect(self, sid: str, **_options: Any) -> None:
        """End a connection."""
        self.close(sid)
