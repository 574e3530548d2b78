"""What stands around the socket that is fuzzed, in place of a network, an event loop, a store and Engine.IO."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from service.live.ownership.owned import OwnedSession
from service.native import Updates
from service.observability.metrics import Metrics
from service.schema.limits import CALL_SAMPLES
from service.sessions.model import AppendPart, AppendResult
from service.sockets.dispatch import Dispatcher
from service.tasks import ThreadTasks
from service.transport.connection import Frame
from service.transport.lost import LostSockets
from service.transport.upstream.engine_socket import NodeSocket
from service.transport.upstream.incoming import Incoming
from service.transport.wheel import Due, Wheel

NOW_S = 1_795_000_000.1234
SID = "s"
MAX_BYTES = 1 << 18


class Tasks(ThreadTasks):
    """Tasks that run when the loop does."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def spawn(self, function: Callable[..., object], *args: Any) -> Any:
        self.waiting.append((function, args))

    def sleep(self, seconds: float) -> None:
        pass


class Hub:
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

    def epoll(self) -> None:
        return None


class Connection:
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


class Store:
    """Takes everything, once it has answered with these words of `append` first.

    With `conflict` it says that it has the first update of the part already.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.parts: list[AppendPart] = []
        self._words = deque(words)
        self._rev = 0

    def append(
        self, partition: int, writer_id: str, number: int, parts: list[AppendPart]
    ) -> list[AppendResult]:
        assert sum(part.samples for part in parts) <= CALL_SAMPLES
        return [self._append(part) for part in parts]

    def _append(self, part: AppendPart) -> AppendResult:
        word = self._words.popleft() if self._words else "ok"
        if word == "conflict" and part.seq_from is not None:
            return AppendResult(word, part.seq_from)
        if word not in ("ok", "conflict"):
            return AppendResult(word)
        self.parts.append(part)
        self._rev += part.samples
        return AppendResult("ok", self._rev)

    def append_all(
        self, writer_id: str, batches: Sequence[tuple[int, int, list[AppendPart]]]
    ) -> list[list[AppendResult] | Exception]:
        return [
            self.append(partition, writer_id, number, parts) for partition, number, parts in batches
        ]

    def joined(self) -> list[AppendPart]:
        """Return what it took, with parts that continue each other as one: how many these are says nothing."""
        found: list[AppendPart] = []
        for part in self.parts:
            last = found[-1] if found else None
            if last is None or part.seq_from != (last.seq_to and last.seq_to + 1):
                found.append(part._replace(keys={**part.keys}))
                continue
            for key, values in part.keys.items():
                last.keys[key] = [*last.keys.get(key, ()), *values]
            found[-1] = last._replace(
                samples_json=last.samples_json[:-1] + b"," + part.samples_json[1:],
                bytes_in=last.bytes_in + part.bytes_in,
                samples=last.samples + part.samples,
                seq_to=part.seq_to,
            )
        return found


class Reconciler:
    """Gets back everything, and loses nothing."""

    def reclaim(self, partition: int, claims: list[OwnedSession]) -> None: ...


class Engine:
    """What stands for Engine.IO, and for `EngineConnections`, around one socket."""

    class reason:  # noqa: N801, D106  Engine.IO's name
        CLIENT_DISCONNECT = "client disconnect"
        SERVER_DISCONNECT = "server disconnect"
        TRANSPORT_CLOSE = "transport close"
        TRANSPORT_ERROR = "transport error"

    max_http_buffer_size = MAX_BYTES
    connect_timeout_s = linger_s = 15.0

    def __init__(self, tasks: Tasks, wheel: Wheel, metrics: Metrics) -> None:
        self.eio = self.server = self.muster = self.manager = self
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

    def trigger_callback(self, sid: str, number: int, arguments: list[Any]) -> None:
        """Take an ack that nothing here has asked for."""

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


class StillWheel(Wheel):
    """A wheel that stands still."""

    def __init__(self) -> None:
        super().__init__(lambda seconds: None)

    def put(self, one: Due, at_s: float) -> None:
        pass


class Counts(Metrics):
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


class StillClock:
    def now_s(self) -> float:
        return NOW_S

    def now_ms(self) -> int:
        return int(NOW_S * 1000)
