"""HTTP by hand over one connection: requests in pieces, answers as they come, and any kind of end."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

HOST = "Host: 127.0.0.1\r\n"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class HttpWire:
    """One TCP connection to a node."""

    def __init__(self, port: int, *, receive_buffer: int = 0, source: str = "127.0.0.1") -> None:
        self.sock = socket.socket()
        self.sock.bind((source, 0))
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(30)
        self.sock.connect(("127.0.0.1", port))
        self._early = b""

    def send(self, data: bytes | str) -> None:
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: str = "") -> None:
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{HOST}{length}{headers}\r\n"
        self.send(head.encode() + (body or b""))

    def answer(self) -> Answer:
        """The next answer, whole."""
        head, found, rest = self._read_past(b"\r\n\r\n")
        assert found, f"ended after {head!r}"
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", 0))
        while len(rest) < length and (more := self.sock.recv(65536)):
            rest += more
        assert len(rest) >= length, f"ended within the body: {rest!r}"
        self._early = rest[length:]
        return Answer(int(status.split()[1]), headers, rest[:length])

    def wait_for_input(self) -> None:
        """Until something has come, which stays unread."""
        self.sock.recv(1, socket.MSG_PEEK)

    def is_at_end(self) -> bool:
        """Whether the node closes the connection, with nothing before it."""
        try:
            return not self._early and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """End it with a reset, whatever was sent or has come."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _read_past(self, mark: bytes) -> tuple[bytes, bytes, bytes]:
        data, self._early = self._early, b""
        while mark not in data and (more := self.sock.recv(65536)):
            data += more
        return data.partition(mark)
