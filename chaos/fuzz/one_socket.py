"""One socket of a node, from its descriptor to the ingest buffer and back, in one process and without time.

Everything between the two ends is the node's own code; what stands at the ends is made here, answers at once, and has
a clock that stands still. So two sockets that get the same bytes in the same pieces come to the same end, or what
reads them differs.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from service.live.ingest.ingest import Ingest
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.native import Reader, Updates
from service.observability.metrics import Metrics
from service.schema.samples import Update, feed_head, in_ms
from service.sessions.model import AppendPart, AppendResult
from service.sockets.call import Call
from service.sockets.devices import Devices
from service.sockets.dispatch import Dispatcher
from service.sockets.native_updates import NativeUpdates
from service.sockets.rate_limits import Limits, RateLimiter
from service.sockets.update_answers import UpdateAnswers
from service.tasks import ThreadTasks
from service.transport.connection import Frame
from service.transport.driver import Driver
from service.transport.link import Link
from service.transport.upstream.engine_socket import NodeSocket
from service.transport.upstream.incoming import Incoming
from service.transport.upstream.lost import LostSockets
from service.transport.wheel import Due, Wheel

NOW_S = 1_795_000_000.1234
SID = "s"
SESSION = "device-00001"
MAX_BYTES = 1 << 18
MAX_VALUE_BYTES = 4096


class _Tasks(ThreadTasks):
    """Tasks that run when the loop does."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def spawn(self, function: Callable[..., object], *args: Any) -> Any:
        self.waiting.append((function, args))

    def sleep(self, seconds: float) -> None:
        pass


class _Hub:
    """An event loop that `turn` turns."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.readable: Callable[[], object] | None = None

    def soon(self, function: Callable[[], object]) -> None:
        self.calls.append(function)

    def on_readable(self, fd: int, ready: Callable[[], object]) -> object:
        self.readable = ready
        return self

    def forget(self, watch: object) -> None:
        self.readable = None


class _Raw:
    """A connection: pieces come out of it, and what is sent is kept."""

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.sent: list[bytes] = []

    def fileno(self) -> int:
        return 0

    def recv_into(self, buffer: bytearray, most: int) -> int:
        if not self.pieces:
            raise BlockingIOError
        piece = self.pieces.popleft()
        size = min(len(piece), len(buffer))
        buffer[:size] = piece[:size]
        if len(piece) > size:
            self.pieces.appendleft(piece[size:])
        return size

    def send(self, piece: bytes) -> int:
        self.sent.append(bytes(piece))
        return len(piece)

    def shutdown(self, how: int) -> None:
        self.sent.append(b"<end>")

    def close(self) -> None:
        self.sent.append(b"<closed>")


class _Store:
    """Takes everything."""

    def __init__(self) -> None:
        self.parts: list[AppendPart] = []
        self._rev = 0

    def append(
        self, partition: int, writer_id: str, number: int, parts: list[AppendPart]
    ) -> list[AppendResult]:
        self.parts += parts
        results = []
        for part in parts:
            self._rev += part.count
            results.append(AppendResult("ok", self._rev))
        return results

    def append_all(
        self, writer_id: str, batches: Sequence[tuple[int, int, list[AppendPart]]]
    ) -> list[list[AppendResult] | Exception]:
        return [
            self.append(partition, writer_id, number, parts) for partition, number, parts in batches
        ]


class _Engine:
    """What stands for Engine.IO, and for `EngineConnections`, around one socket."""

    class reason:  # noqa: N801  Engine.IO's name
        CLIENT_DISCONNECT = "client disconnect"
        SERVER_DISCONNECT = "server disconnect"
        TRANSPORT_CLOSE = "transport close"
        TRANSPORT_ERROR = "transport error"

    max_http_buffer_size = MAX_BYTES
    connect_timeout_s = linger_s = 15.0

    def __init__(self, tasks: _Tasks, wheel: Wheel, metrics: Metrics) -> None:
        self.eio = self.server = self.muster = self
        self.sockets: dict[str, Any] = {}
        self.wheel = wheel
        self.counts = metrics
        self._tasks = tasks
        self.lost = LostSockets(self.start_background_task, tasks.sleep)
        self.socket: NodeSocket
        self.dispatcher: Dispatcher
        self.on_updates: Callable[[str, Updates], bool]
        self.incoming: Incoming
        self.ends: list[str] = []

    def create_queue(self) -> Any:
        return self

    def drain(self) -> tuple[list[Any], bool]:
        """Be the empty queue of a polling client."""
        return [], False

    def open(self, dispatcher: Dispatcher, metrics: Metrics) -> None:
        self.dispatcher = dispatcher
        self.on_event, self.spend = dispatcher.on_event, dispatcher.spend
        self.incoming = Incoming(self, dispatcher, metrics, self._no_connect, self._no_connect)

    def start_background_task(
        self, function: Callable[..., object], *args: Any, **named: Any
    ) -> None:
        self._tasks.spawn(functools.partial(function, *args, **named))

    def _no_connect(self, *_: object) -> None:
        raise AssertionError("it is connected")

    def _handle_disconnect(self, sid: str, namespace: str, reason: str) -> None:
        self.socket.sid_here = ""
        self.ends.append(reason)
        self.dispatcher.disconnected(SID, reason)

    def _trigger_event(self, name: str, sid: str, reason: str, run_async: bool = False) -> None:
        self._handle_disconnect(sid, "/", reason)

    # -- Connections

    def send(self, sid: str, frame: Frame) -> None:
        self.socket.send_frame(frame)

    def send_all(self, sid: str, packets: list[bytes]) -> None:
        self.socket.send_packets(packets)

    def backlog_bytes(self, sid: str) -> int:
        return 0

    def hold(self, sid: str) -> None:
        self.socket.hold()

    def release(self, sid: str) -> None:
        self.socket.release()

    def hold_for(self, sid: str, seconds: float) -> None:
        self.socket.hold_until(self.wheel.now_s + seconds)

    def overflowed(self, socket: NodeSocket) -> None:
        self.ends.append("overflow")

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        raise AssertionError("no update of a device makes the node end its socket")

    def sids(self) -> list[str]:
        return [SID]


class _Wheel(Wheel):
    """A wheel that stands still."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def put(self, one: Due, at_s: float) -> None:
        pass


class _Counts(Metrics):
    """Metrics that are made once, because that takes longer than all else, and begin at 0 again."""

    def begin(self) -> None:
        for one in self.compared():
            one.values.update(dict.fromkeys(one.values, 0))

    def compared(self) -> tuple[Any, ...]:
        """Return those that depend on no time."""
        return (
            *(self.events, self.acks, self.errors, self.bad_input, self.samples, self.duplicates),
            *(self.disconnects, self.slow_clients),
        )


_COUNTS = (_Counts(), _Counts())
#: Stands for parts of a node that no event here reaches.
_NOTHING: Any = None


class _Clock:
    def now_s(self) -> float:
        return NOW_S

    def now_ms(self) -> int:
        return int(NOW_S * 1000)


def reader_of(native: Any) -> Reader:
    """Return what reads in C, as a node has it."""
    return Reader(
        native,
        max_bytes=MAX_BYTES,
        max_value_bytes=MAX_VALUE_BYTES,
        now=lambda: orjson.dumps(in_ms(NOW_S)),
        head=feed_head,
        update=Update,
    )


class Socket:
    """A socket that is registered as a device.

    Args:
        reader: reads in C; None: Python does.
        last_seq: of its session.
        limits: of the socket.
        max_buffer_bytes: of the ingest buffer.
    """

    def __init__(
        self,
        reader: Reader | None,
        *,
        last_seq: int = 0,
        limits: Limits | None = None,
        max_buffer_bytes: int = 32 << 20,
    ) -> None:
        self.tasks, self.hub, self.raw, self.store = _Tasks(), _Hub(), _Raw(), _Store()
        self.metrics, self.wheel = _COUNTS[reader is not None], _Wheel()
        self.metrics.begin()
        self.received = 0
        self.engine = _Engine(self.tasks, self.wheel, self.metrics)
        limiter = RateLimiter(limits or Limits(), self.engine.hold_for, lambda: NOW_S)
        self.dispatcher = Dispatcher(self.engine, self.tasks, self.metrics, None, limiter)
        self.ingest = Ingest(
            self.store,
            OwnedSessions(),
            self.tasks,
            Standing(2.0),
            "node",
            flush_interval_s=0.01,
            reconciler=_NOTHING,
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
            clock=_Clock(),
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
            "parts": self.store.parts,
            "types": [type(value) for part in self.store.parts for value in part.keys.values()],
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
