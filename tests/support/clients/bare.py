"""A client that speaks the protocol by hand, so that a test decides when it acks and when it reads."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import websocket

from tests.support.waiting import wait_until


class Bare:
    """One websocket to a node. Its own thread reads, answers pings and keeps what comes.

    Args:
        url: of the node.
        answer: what to ack a `command` with, given its payload; None acks nothing by itself.
        buffer_bytes: of the kernel, for what is not read yet; 0: as usual.
        auth: what the connect carries, such as `{"token": …}`.
    """

    def __init__(
        self,
        url: str,
        answer: Callable[[dict[str, Any]], list[Any] | None] | None = None,
        buffer_bytes: int = 0,
        auth: Any = None,
    ) -> None:
        options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)] if buffer_bytes else []
        self._socket = websocket.create_connection(
            url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket",
            timeout=60,
            sockopt=options,
            skip_utf8_validation=True,  # byte by byte in Python; what is none cannot be decoded
        )
        self.url = url
        self._answer = answer
        self._numbers = itertools.count(1)
        self._write = threading.Lock()
        self._may_read = threading.Event()
        self._may_read.set()
        self.received: list[tuple[str, Any, int | None]] = []  #: event, payload, number to ack
        self.acks: dict[int, Any] = {}
        self.is_closed = False
        opening = json.loads(self._socket.recv()[1:])
        assert opening["sid"]
        self._socket.send("40" + ("" if auth is None else json.dumps(auth)))
        joined = self._socket.recv()
        assert joined.startswith("40"), joined
        self.sid = str(json.loads(joined[2:])["sid"])
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._read_packets()
        finally:
            self.is_closed = True
            self._socket.shutdown()

    def _read_packets(self) -> None:
        while True:
            self._may_read.wait()
            try:
                packet = self._socket.recv()
            except (OSError, websocket.WebSocketException):
                packet = ""
            if not packet:
                return
            if packet == "2":
                self._send("3")
            elif packet == "41":
                return
            elif packet[:2] in ("42", "43"):
                head, bracket, rest = packet[2:].partition("[")
                number = int(head) if head else None
                arguments = json.loads(bracket + rest)
                if packet[1] == "3":
                    assert number is not None
                    self.acks[number] = arguments[0] if arguments else None
                else:
                    self.received.append((arguments[0], arguments[1], number))
                    if arguments[0] == "command" and self._answer is not None:
                        said = self._answer(arguments[1])
                        if said is not None:
                            self._send(f"43{number}{json.dumps(said)}")

    def _send(self, packet: str) -> None:
        try:
            with self._write:
                self._socket.send(packet)
        except (OSError, websocket.WebSocketException):
            self.is_closed = True

    @classmethod
    def device(cls, url: str, session_id: str, **options: Any) -> Bare:
        """A client that has registered with this id."""
        made = cls(url, **options)
        made.ok("register", {"device_id": session_id})
        return made

    def stop_reading(self) -> None:
        """Take nothing more than what is being read now."""
        self._may_read.clear()

    def read_on(self) -> None:
        self._may_read.set()

    def emit(self, event: str, payload: Any = None) -> None:
        self._send("42" + json.dumps([event, payload]))

    def ask(self, event: str, payload: Any = None) -> int:
        """Send and do not wait; `acks` gets the answer under the number returned."""
        number = next(self._numbers)
        self._send(f"42{number}{json.dumps([event, payload])}")
        return number

    def answer_to(self, number: int, timeout_s: float = 20.0) -> dict[str, Any]:
        answer: dict[str, Any] = wait_until(
            lambda: self.acks.get(number), timeout_s, every_s=0.002, what=f"ack {number}"
        )
        return answer

    def call(self, event: str, payload: Any = None, timeout_s: float = 20.0) -> dict[str, Any]:
        """The ack's body."""
        return self.answer_to(self.ask(event, payload), timeout_s)

    def ok(self, event: str, payload: Any = None, timeout_s: float = 20.0) -> dict[str, Any]:
        """The ack's body of an event that must succeed."""
        answer = self.call(event, payload, timeout_s)
        assert answer["ok"] is True, answer
        return answer

    def events(self, *names: str) -> list[Any]:
        """Payloads of these events, in the order they came."""
        return [payload for event, payload, _ in list(self.received) if event in names]

    def ack_command(self, command_id: str, *arguments: Any) -> None:
        """Ack the newest `command` with this id."""
        for event, payload, number in reversed(self.received):
            if event == "command" and payload["command_id"] == command_id:
                return self._send(f"43{number}{json.dumps(arguments)}")
        raise AssertionError(f"{command_id} did not come")

    def drop(self) -> None:
        """The line is cut: no goodbye."""
        self._may_read.set()
        line = self._socket.sock
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)

    def close(self) -> None:
        """Leave politely."""
        self._send("41")
        self.drop()
