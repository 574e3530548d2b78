"""One socket of a node, from its descriptor to the ingest buffer and back, in one process and without time.

Everything between the two ends is the node's own code; what stands at the ends (`standins`) answers at once, and has a
clock that stands still. So two sockets that get the same bytes in the same pieces come to the same end, or what
reads them differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from chaos.fuzz.standins import (
    MAX_BYTES,
    NOW_S,
    SID,
    Connection,
    Counts,
    Engine,
    Hub,
    Reconciler,
    StillClock,
    StillWheel,
    Store,
    Tasks,
)
from service.live.ingest.ingest import Ingest
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.native import Reader
from service.schema.samples import feed_head, in_ms
from service.sockets.call import Call
from service.sockets.devices import Devices
from service.sockets.dispatch import Dispatcher
from service.sockets.native_updates import NativeUpdates
from service.sockets.rate_limits import Limits, RateLimiter
from service.sockets.update_answers import UpdateAnswers
from service.transport.driver import Driver
from service.transport.link import Link
from service.transport.upstream.engine_socket import NodeSocket

SESSION = "device-00001"
MAX_VALUE_BYTES = 4096

_COUNTS = (Counts(), Counts())
#: Stands for parts of a node that no event here reaches.
_NOTHING: Any = None


def reader_of(native: Any) -> Reader:
    """Return what reads in C, as a node has it."""
    return Reader(
        native,
        max_bytes=MAX_BYTES,
        max_value_bytes=MAX_VALUE_BYTES,
        now=lambda: orjson.dumps(in_ms(NOW_S)),
        head=feed_head,
    )


class Socket:
    """A socket that is registered as a device.

    Args:
        reader: reads in C; None: Python does.
        last_seq: of its session.
        limits: of the socket.
        max_buffer_bytes: of the ingest buffer.
        words: what the store answers first.
    """

    def __init__(
        self,
        reader: Reader | None,
        *,
        last_seq: int = 0,
        limits: Limits | None = None,
        max_buffer_bytes: int = 32 << 20,
        words: Sequence[str] = (),
    ) -> None:
        self.tasks, self.hub, self.raw, self.store = Tasks(), Hub(), Connection(), Store(words)
        sessions = OwnedSessions()
        self.metrics, self.wheel = _COUNTS[reader is not None], StillWheel()
        self.metrics.begin()
        self.received = 0
        self.engine = Engine(self.tasks, self.wheel, self.metrics)
        limiter = RateLimiter(limits or Limits(), self.engine.hold_for, lambda: NOW_S)
        self.dispatcher = Dispatcher(self.engine, self.tasks, self.metrics, None, limiter)
        self.ingest = Ingest(
            self.store,
            sessions,
            self.tasks,
            Standing(2.0),
            "node",
            flush_interval_s=0.01,
            reconciler=Reconciler(),
            answers=UpdateAnswers(self.dispatcher, self.metrics),
            sockets=self.engine,
            metrics=self.metrics,
            max_buffer_bytes=max_buffer_bytes,
        )
        self._handle_events()
        self.engine.open(self.dispatcher, self.metrics)
        taken = NativeUpdates(self.dispatcher.peers, self.ingest.intake, self.metrics.event_counts)
        self.engine.on_updates = taken.take
        socket = self.engine.socket = NodeSocket(self.engine, SID)
        driver = Driver(self.hub, self.wheel, MAX_BYTES, 1 << 22, self._count, None, reader)  # type: ignore[arg-type]
        self.link = Link(self.raw, socket, driver)
        socket.attach(self.link, None)  # type: ignore[arg-type]
        socket.sid_here, socket.is_unauthenticated = SID, False
        self.dispatcher.connected(SID, "10.0.0.1")
        self.peer = self.dispatcher.peers[SID]
        self.owned = self.peer.device = OwnedSession(SESSION, SID, 0, 5, last_seq=last_seq)
        sessions.add(self.owned)
        socket.expect((self.owned, orjson.dumps(SESSION)))
        self.link.start(b"")
        self._turn()

    def _count(self, size: int) -> None:
        self.received += size

    def _handle_events(self) -> None:
        devices = Devices(
            reports=_NOTHING,
            setups=_NOTHING,
            ingest=self.ingest,
            commands=_NOTHING,
            dispatcher=self.dispatcher,
            clock=StillClock(),
            heard_of=lambda owned, now_ms: None,
            reclaim=Reconciler().reclaim,
            max_value_bytes=MAX_VALUE_BYTES,
        )
        dispatcher = self.dispatcher
        dispatcher.on_hot("update_data", devices.update_data)
        dispatcher.on_hot("update_telemetry", devices.update_telemetry)
        dispatcher.on("ping", devices.ping, inline=True)
        dispatcher.on("wait", lambda call: {})
        dispatcher.on("lose", self._lose, inline=True)
        dispatcher.on("forbid", self._forbid, inline=True)
        dispatcher.on("hold", lambda call: self.engine.hold(SID), inline=True)

    def _lose(self, call: Call) -> None:
        self.owned.lost = "superseded"

    def _forbid(self, call: Call) -> None:
        self.peer.allowed_events = frozenset({"ping"})

    # -- what comes in

    def feed(self, pieces: Sequence[bytes]) -> None:
        """Let these pieces come in, one in a turn of the loop, and everything follow that follows from them."""
        for piece in pieces:
            self.raw.pieces.append(piece)
            self._turn()
        for _ in range(3):
            self.ingest.kick()
            self._turn()

    def _turn(self) -> None:
        for _ in range(100):
            if self.hub.readable is not None and self.raw.pieces:
                self.hub.readable()
            calls, self.hub.calls = self.hub.calls, []
            for call in calls:
                call()
            if self.tasks.waiting:
                function, args = self.tasks.waiting.popleft()
                function(*args)
            elif not self.hub.calls and not (self.hub.readable and self.raw.pieces):
                return

    def end(self) -> dict[str, Any]:
        """Return everything that came of it."""
        allowance: Any = self.peer.allowance
        left = allowance and (
            allowance._events - (allowance._events_given - allowance._events_ahead),
            allowance._bytes - (allowance._bytes_given - allowance._bytes_ahead),
        )
        owned, link = self.owned, self.link
        return {
            "sent": b"".join(self.raw.sent),
            "unread": list(self.raw.pieces),
            "held": link._held or [],
            "link": (link.is_finished, link.is_closed, link._pauses, link._parser.kept_bytes),
            "at_fault": self.engine.socket.is_at_fault,
            "swallow": self.engine.socket.swallow,
            "ends": self.engine.ends,
            "stored in Redis": self.store.joined(),
            "owned": (
                owned.accepted_seq,
                owned.last_seq,
                owned.rev,
                owned.waiting,
                owned.waiting_bytes,
            ),
            "left": left,
            "busy": (self.peer.busy, self.peer.waiting_bytes),
            "counted": [dict(one.values) for one in self.metrics.compared()],
            "received": self.received,
            "stored": self.ingest.stored,
            "buffered": self.ingest.buffered_bytes,
        }
