"""One websocket on a loop that the test turns, over a socket pair."""

from __future__ import annotations

import _socket
import os
import socket
from collections.abc import Callable
from typing import Any

from service.protocol import frames
from service.protocol.frames import Fault
from service.transport.driver import Driver
from service.transport.link import Link
from service.transport.wheel import Wheel


class TurnedHub:
    """An event loop that turns when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.watches: dict[int, tuple[str, Any]] = {}
        self._next = 0

    def soon(self, function: Callable[[], object]) -> None:
        self.calls.append(function)

    def on_readable(self, fd: int, ready: Any) -> int:
        return self._watch("read", ready)

    def on_writable(self, fd: int, ready: Any) -> int:
        return self._watch("write", ready)

    def _watch(self, kind: str, ready: Any) -> int:
        self._next += 1
        assert kind not in self.kinds, f"two watches to {kind}"
        self.watches[self._next] = (kind, ready)
        return self._next

    def forget(self, watch: int) -> None:
        del self.watches[watch]

    def epoll(self) -> None:
        return None

    @property
    def kinds(self) -> set[str]:
        return {kind for kind, _ in self.watches.values()}

    def turn(self) -> None:
        for _, ready in list(self.watches.values()):
            ready()
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Listener:
    """An owner that notes what it is told, and does to the link what the test wants."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.then: Callable[[str], object] | None = None

    def on_text(self, text: str) -> None:
        self.told.append(text)
        if self.then is not None:
            self.then(text)

    def on_binary(self, data: bytes | bytearray) -> None:
        self.told.append(bytes(data))

    def on_fault(self, fault: Fault) -> bytes:
        return frames.encode(frames.TEXT, b"last words")

    def on_overflow(self) -> None:
        self.told.append("overflow")

    def on_lost(self) -> None:
        self.told.append("lost")

    def on_cut(self) -> None:
        self.told.append("cut")


class Bench:
    def __init__(self, max_pending_bytes: int = 1 << 20) -> None:
        ours, self.peer = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.raw = _socket.socket(fileno=ours.detach())
        self.raw.setblocking(False)
        self.peer.setblocking(False)
        self.hub, self.wheel = TurnedHub(), Wheel(lambda seconds: None)
        self.received = 0
        self.turns: list[Callable[[], object]] = []
        self.driver = Driver(self.hub, self.wheel, 1 << 20, max_pending_bytes, self._count)
        self.owner = Listener()
        self.link = Link(self.raw, self.owner, self.driver)
        self.link.start(b"")
        self.hub.turn()

    def _count(self, size: int) -> None:
        self.received += size

    def enter_or(self, later: Callable[[], object]) -> bool:
        self.turns.append(later)
        return False

    def send(self, *packets: str) -> None:
        for packet in packets:
            self.peer.sendall(masked(0x81, packet.encode()))

    def read(self) -> bytes:
        """What the peer gets, until nothing more comes."""
        got = b""
        for _ in range(10_000):
            self.hub.turn()
            try:
                more = self.peer.recv(1 << 16)
            except BlockingIOError:
                if self.link.waiting_bytes and not self.link.is_closed:
                    continue
                return got
            if not more:
                return got + b"<end>"
            got += more
        raise AssertionError("it never ends")


def masked(first: int, payload: bytes) -> bytes:
    key = os.urandom(4)
    assert len(payload) < 65536
    size = len(payload)
    head = (
        bytes([first, 0x80 | size])
        if size < 126
        else bytes([first, 0xFE]) + size.to_bytes(2, "big")
    )
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def frame(payload: bytes) -> bytes:
    return frames.encode(frames.TEXT, payload)
