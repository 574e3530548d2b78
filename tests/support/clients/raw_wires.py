"""Websockets written out byte by byte, and clients that come and go on them."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable

HANDSHAKE = (
    "GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(first: int, payload: bytes) -> bytes:
    key, size = os.urandom(4), len(payload)
    head = (
        bytes([first, 0x80 | size])
        if size < 126
        else bytes([first, 0xFE]) + struct.pack(">H", size)
    )
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def text(packet: str) -> bytes:
    return masked(0x81, packet.encode())


class Wire:
    """A TCP connection on which a test writes the bytes of a websocket itself."""

    def __init__(self, port: int, early: bytes = b"", query: str = "") -> None:
        self.tcp = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.tcp.sendall(HANDSHAKE.format(port=port, query=query).encode() + early)
        self._read = self.tcp.makefile("rb")
        assert self._read.readline().startswith(b"HTTP/1.1 101")
        self.headers = []
        while (line := self._read.readline()) != b"\r\n":
            self.headers.append(line.decode().strip().lower())

    def frame(self) -> tuple[int, bytes]:
        first, size = self._read.read(2)
        if size == 126:
            size = int.from_bytes(self._read.read(2), "big")
        elif size == 127:
            size = int.from_bytes(self._read.read(8), "big")
        return first & 15, self._read.read(size)

    def until(self, head: bytes) -> bytes:
        while True:
            _, payload = self.frame()
            if payload.startswith(head):
                return payload

    def closed_with(self) -> int:
        """The code of the close frame; and that the connection ends after it."""
        while True:
            opcode, payload = self.frame()
            if opcode == 8:
                assert self._read.read() == b""
                return int.from_bytes(payload[:2], "big") if payload else 0

    def close(self) -> None:
        self._read.close()
        self.tcp.close()


def opened(wire: Callable[..., Wire]) -> Wire:
    """A connected one."""
    one = wire(text("40"))
    one.until(b"40")
    return one


def churn_once(port: int, way: int) -> None:
    """One client, which goes in one of five ways."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as tcp:
        tcp.sendall(HANDSHAKE.format(port=port, query="").encode())
        seen = tcp.recv(4096)
        if way == 0:  # at once, with unread input
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        tcp.sendall(text("40") + text('421["echo",1]'))
        while b"431[" not in seen:
            more = tcp.recv(4096)
            assert more, seen
            seen += more
        if way == 1:  # says so
            tcp.sendall(text("41") + masked(0x88, b"\x03\xe8"))
            while tcp.recv(4096):
                pass
        elif way == 2:  # breaks the protocol
            tcp.sendall(masked(0x83, b""))
            while tcp.recv(4096):
                pass
        elif way == 3:  # amid a blocking handler
            tcp.sendall(text('42["slow",{"s":0.01}]'))
