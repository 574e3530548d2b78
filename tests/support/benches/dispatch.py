"""A dispatcher with wires and tasks that a test drives."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from service import errors
from service.observability.metrics import Metrics
from service.sockets.dispatch import Call, Dispatcher, Peer
from service.transport.connection import Frame


class ManualTasks:
    """Tasks that wait until `run` is called, as green ones wait for the caller to block."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.sleeps = 0

    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        self.waiting.append((function, args))

    def sleep(self, seconds: float) -> None:
        self.sleeps += 1

    def run(self) -> None:
        while self.waiting:
            function, args = self.waiting.popleft()
            function(*args)


class Wires:
    """`Connections` that keep what was sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send_all(self, sid: str, packets: list[bytes]) -> None:
        for packet in packets:
            self.send(sid, Frame(packet))

    def send(self, sid: str, frame: Frame) -> None:
        assert frame.size == len(frame.text.encode())
        self.sent.append(frame.text)

    def backlog_bytes(self, sid: str) -> int:
        return 0

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        raise NotImplementedError

    def sids(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> dict[int, Any]:
        """Arguments of the acks, by number."""
        found = {}
        for text in self.sent:
            if text[0] == "3":
                number, _, body = text[1:].partition("[")
                found[int(number)] = json.loads(f"[{body}")[0]
        return found

    def events(self) -> list[list[Any]]:
        return [json.loads(text[text.index("[") :]) for text in self.sent if text[0] == "2"]


class Bench:
    """A dispatcher with one socket `s`, an inline `now` and a blocking `long` that note their payloads."""

    def __init__(self) -> None:
        self.wires, self.tasks, self.metrics = Wires(), ManualTasks(), Metrics()
        self.dispatcher = Dispatcher(self.wires, self.tasks, self.metrics)
        self.done: list[Any] = []
        self.ends: list[tuple[str, str]] = []
        self.during: Callable[[], None] | None = None
        self.dispatcher.on("now", self._now, inline=True)
        self.dispatcher.on("long", self._long)
        self.dispatcher.on_disconnect(lambda peer, reason: self.ends.append((peer.sid, reason)))
        self.dispatcher.connected("s", "10.0.0.1")

    def _now(self, call: Call) -> dict[str, Any]:
        self.done.append(call.payload)
        return {"now": call.payload}

    def _long(self, call: Call) -> None:
        during, self.during = self.during, None
        if during is not None:
            during()
        self.done.append(call.payload)

    def send(self, event: str, payload: Any = None, ack_id: int | None = None) -> None:
        self.dispatcher.on_event("s", ack_id, json.dumps([event, payload]))

    @property
    def peer(self) -> Peer:
        return self.dispatcher.peers["s"]


class Limiter:
    """Lets in what it is told, and counts who is there."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.refuses: errors.ServiceError | None = None
        self.sizes: list[int] = []

    def entered(self, peer: Peer) -> None:
        self.inside.append(peer.sid)
        peer.allowance = self

    def left(self, peer: Peer) -> None:
        self.inside.remove(peer.sid)

    def passes(self, size: int) -> bool:
        self.sizes.append(size)
        return self.refuses is None

    def refusal(self) -> errors.ServiceError:
        assert self.refuses is not None
        return self.refuses

    def spend(self, size: int) -> None:
        self.sizes.append(size)


class Watch:
    """Knows everybody."""

    def entered(self, peer: Peer) -> None: ...
    def left(self, peer: Peer) -> None: ...
