"""The deadlines of one Engine.IO connection: pings, the end of those that are dead, never connected or were to end.

A client is alive while bytes flow, not only while its pongs are prompt: behind a message that takes a minute to
come in, or an answer that takes one to go out, no pong can be in time. Everything that comes in counts. Of what
goes out only what lies before the ping counts, as far as the other end has acknowledged it: a proxy would take
what comes after it also for a client that is dead.

A client hears a ping in each interval also while its pong is awaited: most libraries count nothing else as a sign of
the node's life. What its owner sends once per interval goes with the ping, in the same packet of TCP.

Waking a process costs more than a ping, so pings leave together, once a second and with what else is due then; after
a rush they are spread over half of the interval. Pongs come together then too, and those that have not come are looked
for together.
"""

from __future__ import annotations

import math
import random

import engineio.packet
import engineio.socket

from service.tasks import TICK_S
from service.transport.connection import Frame
from service.transport.http.client import Client
from service.transport.link import FULL, RATE, Link
from service.transport.peer import Flow
from service.transport.upstream.engine_packets import frame_of, packet_of, wire_of
from service.transport.wheel import Due, Wheel

#: The first ping comes up to this part of the interval early, so that pings after a rush are spread.
SPREAD = 0.5
#: Moments in an interval at which pings leave, at least, and how far apart they are at most, s.
SLOTS, MOST_SLOT_S = 10, TICK_S
#: One for all: its frame is made once.
_PING = engineio.packet.Packet(engineio.packet.PING)
#: How often traffic of the client is looked for while a pong is awaited, s.
LOOK_S = 0.5


class Pings:
    """What the pings of all sockets of a node have in common.

    Args:
        interval_s: between two pings of one socket.
    """

    def __init__(self, wheel: Wheel, interval_s: float) -> None:
        self._wheel = wheel
        self._interval_s = interval_s
        self._slot_s = min(MOST_SLOT_S, interval_s / SLOTS)
        self._look_s = math.ceil(LOOK_S / self._slot_s) * self._slot_s
        self._pinged = _Pinged(wheel, -1.0)
        self._frame: Frame | None = None
        self._wire = b""

    def first_s(self) -> float:
        """Return when a socket that was opened now is pinged first."""
        early_s = random.random() * SPREAD * self._interval_s
        return self._slot_at(self._wheel.now_s + self._interval_s - early_s)

    def next_s(self, due_s: float, now_s: float) -> float:
        """Return when a socket that is pinged now is pinged again; `due_s`: when it was to be.

        A wake-up that is late has the pings of several slots. Counted from now they would be of one slot from then on.
        """
        return self._slot_at(max(due_s, now_s - self._interval_s / 2) + self._interval_s)

    def await_pong(self, socket: Deadlines, now_s: float) -> None:
        """Look soon whether this socket, which is pinged now, has answered."""
        pinged = self._pinged
        if pinged.at_s != now_s:
            pinged = self._pinged = _Pinged(self._wheel, now_s)
            self._wheel.put(pinged, self._slot_at(now_s) + self._look_s)
        pinged.sockets.append(socket)

    def wire(self, frame: Frame | None) -> bytes:
        """Return what goes over a link: this frame, and the ping behind it, whose pong answers both."""
        if frame is None:
            return frame_of(_PING)
        if frame is not self._frame:
            self._frame, self._wire = frame, wire_of(frame) + frame_of(_PING)
        return self._wire

    def _slot_at(self, at_s: float) -> float:
        return math.floor(at_s / self._slot_s + 1e-6) * self._slot_s


class _Pinged:
    """Sockets that were pinged together: those that have not answered soon after are looked at, one by one."""

    __slots__ = ("_wheel", "at_s", "slot", "sockets")

    def __init__(self, wheel: Wheel, at_s: float) -> None:
        self._wheel = wheel
        self.at_s = at_s
        self.slot: set[Due] | None = None
        self.sockets: list[Deadlines] = []

    def on_due(self, now_s: float) -> float | None:
        sockets, self.sockets = self.sockets, []
        for one in sockets:
            if one.pinged_s is not None and one.slot is not None:
                self._wheel.call(one)
        return None


class Deadlines(engineio.socket.Socket):  # type: ignore[misc]
    """The part of a `NodeSocket` that is called by the wheel."""

    sid_here: str
    link: Link | None
    answering: Client | None
    posting: Client | None
    #: The websocket, counted.
    flow: Flow | None = None
    #: So far.
    posts = 0
    #: Its slot in the wheel; and its deadlines, in the wheel's seconds.
    slot: set[Due] | None = None
    opened_s = 0.0
    next_ping_s = 0.0
    pinged_s: float | None = None
    cut_s: float | None = None
    #: When the client's last traffic was seen, while a pong is awaited; what had come in then, and arrived.
    _traffic_s = 0.0
    _seen: tuple[int, int] = (0, 0)
    _ping_ends = 0  # of what is sent over a websocket, what is before the ping
    _answered = -1  # what has arrived over a link once the ping is answered
    #: Why nothing more is taken from it for now, as `Link.pause` has it; and until when, where that is known.
    held_for = 0
    held_until_s: float | None = None

    def cut(self) -> None:
        raise NotImplementedError

    def forget(self) -> None:
        raise NotImplementedError

    # --- held

    @property
    def is_held(self) -> bool:
        return self.held_for != 0

    def hold(self, why: int = FULL) -> None:
        """Read nothing more from this client until `release`; TCP makes it wait."""
        self.held_for |= why
        if self.link is not None:
            self.link.pause(why)

    def release(self, why: int = FULL) -> None:
        self.held_for &= ~why
        if self.link is not None:
            self.link.resume(why)

    def hold_until(self, at_s: float) -> None:
        """Read nothing more from it until then, in the wheel's seconds: it sent far more than it may."""
        self.held_until_s = at_s
        self.hold(RATE)
        wheel = self.server.muster.wheel
        wheel.put(self, min(at_s, wheel.now_s + LOOK_S))

    # --- pings and ends

    def schedule_ping(self) -> None:
        """Schedule the first ping; Engine.IO calls it once a socket is made."""
        muster = self.server.muster
        self.opened_s = muster.wheel.now_s
        self.next_ping_s = muster.pings.first_s()
        muster.wheel.put(self, min(self.next_ping_s, self.opened_s + muster.connect_timeout_s))

    def ping_early(self) -> None:
        """Let the next ping come now."""
        muster = self.server.muster
        self.next_ping_s = min(self.next_ping_s, muster.wheel.now_s)
        muster.wheel.put(self, muster.wheel.now_s)

    def closed_here(self) -> None:
        """Note that it is no Socket.IO connection now: it may become one again, or is closed soon."""
        muster = self.server.muster
        self.opened_s = muster.wheel.now_s
        if not self.closed and self.cut_s is None:
            muster.wheel.put(self, self.opened_s)

    def linger(self) -> None:
        """Cut the connection if it is still open after `LINGER_S`."""
        if self.cut_s is None:
            muster = self.server.muster
            self.cut_s = muster.wheel.now_s + muster.linger_s
            muster.wheel.put(self, self.cut_s)

    def on_due(self, now_s: float) -> float | None:
        """Ping, and end what is dead, never connected or was to end; return the next deadline."""
        server, due_s = self.server, self.next_ping_s
        if self.cut_s is not None:
            if now_s < self.cut_s:
                return self.cut_s
            self.close(wait=False, abort=True, reason=server.reason.SERVER_DISCONNECT)
            self.cut()
            self.forget()
            return None
        if self.held_until_s is not None:
            if self.flow is not None and self.flow.is_gone():  # which no client reads
                self._give_up(server.reason.TRANSPORT_CLOSE)
                return None
            if now_s >= self.held_until_s:
                self.held_until_s = None
                self.release(RATE)
        if self.pinged_s is not None:
            if now_s >= self._last_sign_s(now_s) + server.ping_timeout:
                self._give_up(server.reason.PING_TIMEOUT)
                return None
            if now_s >= self.next_ping_s and not self.queue.waiting_bytes:  # or they would pile up
                if self.flow is not None:  # what waited has its real size now
                    self._ping_ends = min(self._ping_ends, self.flow.sent)
                self._put_ping(now_s)
            due_s = min(now_s + LOOK_S, self._traffic_s + server.ping_timeout)
        elif now_s >= self.next_ping_s:
            self._ping(now_s)
            due_s = self.next_ping_s
        if not self.sid_here:
            connect_s: float = self.opened_s + server.muster.connect_timeout_s
            if self.link is not None and self.link.is_waiting:
                connect_s = max(connect_s, now_s + 1.0)  # its CONNECT may wait unread
            if now_s >= connect_s:
                self._give_up("connect timeout")
                return None
            due_s = min(due_s, connect_s)
        return due_s if self.held_until_s is None else min(due_s, self.held_until_s, now_s + LOOK_S)

    def _ping(self, now_s: float) -> None:
        self.pinged_s = self._traffic_s = now_s
        flow, waiting = self.flow, self.queue.waiting_bytes
        if flow is not None:
            self._ping_ends = flow.sent + waiting
        self._put_ping(now_s)
        if flow is not None and self._ping_ends == self._answered:  # the kernel need not be asked
            self._seen = (flow.received, self._ping_ends)
        else:
            self._seen = self._signs()
        if flow is not None and self.link is not None:
            self._answered = flow.sent + self.queue.waiting_bytes
        self.server.muster.pings.await_pong(self, now_s)

    def _put_ping(self, now_s: float) -> None:
        muster = self.server.muster
        # Where this fails the ping is still due.
        frame = muster.goes_with_ping(self.sid_here) if self.sid_here else None
        self.next_ping_s = muster.pings.next_s(self.next_ping_s, now_s)
        if self.link is not None:
            self.link.send(muster.pings.wire(frame))
            return
        if frame is not None:
            self.queue.put(packet_of(frame))
        self.queue.put(_PING)

    def _last_sign_s(self, now_s: float) -> float:
        """Return when it was last seen to be alive."""
        signs = self._signs()
        # The pong of one that is held may wait unread.
        if self.is_held or signs[0] != self._seen[0] or signs[1] > self._seen[1]:
            self._traffic_s = now_s
        self._seen = signs
        return self._traffic_s

    def _signs(self) -> tuple[int, int]:
        """Return how much came in, and how much of what is before the ping arrived."""
        if self.flow is not None:
            arrived = self.flow.sent - self.flow.unacknowledged()
            return self.flow.received, min(arrived, self._ping_ends)
        # A poll takes nothing before the last one's answer has arrived; that it fetches pings is no answer to them.
        received = 0 if self.posting is None else self.posting.received
        missing = 0 if self.answering is None else self.answering.unacknowledged()
        return self.posts + received, -missing

    def _give_up(self, reason: str) -> None:
        self.server.muster.lost.add(self, reason)
