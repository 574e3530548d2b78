"""A crowd without a login that means harm.

`python -m tests.support.crowds.hostile_crowd <port> <strangers> <seconds> [kind …]`.

One process, one loop, loopback alone, bounded in count and time. Every stranger is of one kind (`KINDS`); who
is thrown out comes back a second later. At the end it prints what it did, as JSON.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator

BACK_AFTER_S = 1.0
#: What a stranger sends in one go, and how often.
PIECE = 32 * 1024
EVERY_S = 0.25

#: bytes: send these; float: wait so long; str: read until this comes.
Step = bytes | float | str
Script = Iterator[Step]


def masked(first: int, payload: bytes) -> bytes:
    """A websocket frame of a client; the key is zero, so the payload stands as it is."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + bytes(4) + payload


def request(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", *headers, "", ""]).encode()


_PATH = "/socket.io/?EIO=4&transport="
UPGRADE = request(
    f"GET {_PATH}websocket",
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
CHUNKED = "Transfer-Encoding: chunked"


def slow_head() -> Script:
    """A header line every now and then, for ever."""
    yield b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    while True:
        yield 2.0
        yield b"X-More: 1\r\n"


def endless_chunk_size() -> Script:
    """A chunk's size without an end, to a host that nobody knows."""
    yield request("POST /", "Host: stranger.example", CHUNKED)
    while True:
        yield b"0" * PIECE
        yield EVERY_S


def small_chunks() -> Script:
    """Chunks of one byte."""
    yield request("POST /api/v1/sessions", "Host: localhost", CHUNKED)
    while True:
        yield b"1\r\nx\r\n" * (PIECE // 6)
        yield EVERY_S


def long_body() -> Script:
    """A body that nobody asked for."""
    yield request("POST /", "Host: localhost", "Content-Length: 99999999")
    while True:
        yield b"x" * PIECE
        yield EVERY_S


def many_requests() -> Script:
    """Requests in a row, without waiting for answers."""
    while True:
        yield request("GET /healthz", "Host: localhost") * 50
        yield EVERY_S


def tiny_frames() -> Script:
    """Events without a connect, as small as they can be."""
    yield UPGRADE
    yield "\r\n\r\n"
    while True:
        yield masked(0x81, b"42") * (PIECE // 8)
        yield EVERY_S


def long_frame() -> Script:
    """A message of almost a mebibyte whose end does not come."""
    yield UPGRADE
    yield "\r\n\r\n"
    yield b"\x81\xff" + (1_000_000).to_bytes(8, "big") + bytes(4)
    for _ in range(30):
        yield b"x" * PIECE
    while True:
        yield 1.0


def posted_packets() -> Script:
    """A long-polling client that posts events without a connect."""
    yield request(f"GET {_PATH}polling", "Host: localhost")
    head = yield '"upgrades"'
    assert isinstance(head, str)
    sid = head.partition('"sid":"')[2].partition('"')[0]
    body = b"\x1e".join([b"42"] * 30_000)
    path = f"POST {_PATH}polling&sid={sid}"
    yield request(path, "Host: localhost", f"Content-Length: {len(body)}")
    yield body
    while True:
        yield 1.0


KINDS: dict[str, Callable[[], Script]] = {
    one.__name__: one
    for one in (
        *(slow_head, endless_chunk_size, small_chunks, long_body, many_requests),
        *(tiny_frames, long_frame, posted_packets),
    )
}


class Stranger:
    """One connection after another of one kind."""

    def __init__(self, crowd: Crowd, kind: str) -> None:
        self.crowd = crowd
        self.kind = kind
        self.line: socket.socket | None = None

    def come(self) -> None:
        self.line = socket.socket()
        self.line.setblocking(False)
        self.line.connect_ex(("127.0.0.1", self.crowd.port))
        self.crowd.count("came", self.kind)
        self.script = KINDS[self.kind]()
        self.out = memoryview(b"")
        self.awaited = self.read = ""
        self._watch(selectors.EVENT_READ)
        self.go_on()

    def go_on(self, read: str | None = None) -> None:
        step = self.script.send(read)  # type: ignore[attr-defined]
        if isinstance(step, bytes):
            self.out = memoryview(step)
            self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)
        elif isinstance(step, str):
            self.awaited = step
        else:
            self.crowd.later(step, self, self.line)

    def ready(self, events: int) -> None:
        assert self.line is not None
        try:
            if events & selectors.EVENT_READ:
                data = self.line.recv(65536)
                if not data:
                    return self.leave()
                if self.awaited:
                    self.read += data.decode("latin-1")
                    if self.awaited in self.read:
                        self.awaited = ""
                        self.go_on(self.read)
            if events & selectors.EVENT_WRITE and self.out:
                sent = self.line.send(self.out)
                self.crowd.count("sent_bytes", self.kind, sent)
                self.out = self.out[sent:]
                if not self.out:
                    self._watch(selectors.EVENT_READ)
                    self.go_on()
        except BlockingIOError:
            pass
        except OSError:
            self.leave()

    def leave(self) -> None:
        if self.line is not None:
            self.crowd.selector.unregister(self.line)
            self.line.close()
            self.line = None
            self.crowd.count("thrown_out", self.kind)
            self.crowd.later(BACK_AFTER_S, self, None)

    def _watch(self, events: int) -> None:
        try:
            self.crowd.selector.modify(self.line, events, self)  # type: ignore[arg-type]
        except KeyError:
            self.crowd.selector.register(self.line, events, self)  # type: ignore[arg-type]


class Crowd:
    """All strangers of one process."""

    def __init__(self, port: int, kinds: list[str]) -> None:
        self.port = port
        self.selector = selectors.DefaultSelector()
        self.counts: dict[str, dict[str, int]] = {}
        self._waits: list[tuple[float, int, Stranger, socket.socket | None]] = []
        self._numbers = itertools.count()
        for kind in kinds:
            self.later(0.0, Stranger(self, kind), None)

    def count(self, what: str, kind: str, by: int = 1) -> None:
        counts = self.counts.setdefault(what, {})
        counts[kind] = counts.get(kind, 0) + by

    def later(self, seconds: float, one: Stranger, line: socket.socket | None) -> None:
        at = time.monotonic() + seconds
        heapq.heappush(self._waits, (at, next(self._numbers), one, line))

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for key, events in self.selector.select(0.02):
                key.data.ready(events)
            now = time.monotonic()
            while self._waits and self._waits[0][0] <= now:
                _, _, one, line = heapq.heappop(self._waits)
                if one.line is not line:
                    continue  # that connection is gone
                if line is None:
                    one.come()
                else:
                    one.go_on()


def main(port: int, strangers: int, seconds: float, kinds: list[str]) -> None:
    parent = os.getppid()
    crowd = Crowd(port, list(itertools.islice(itertools.cycle(kinds or KINDS), strangers)))
    until = time.monotonic() + seconds
    while time.monotonic() < until and os.getppid() == parent:  # never longer than who started it
        crowd.run(min(1.0, until - time.monotonic()))
    print(json.dumps(crowd.counts))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
