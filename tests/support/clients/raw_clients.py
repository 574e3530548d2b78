"""Clients that speak Engine.IO and Socket.IO by hand, so that they can also speak it wrongly."""

from __future__ import annotations

import http.client
import json
import os
import struct
import time
from typing import Any

import websocket


class RawWebsocket:
    """A bare websocket to a node; connected to namespace `/` unless told not to."""

    def __init__(self, port: int, *, connect: bool = True, query: str = "", **options: Any) -> None:
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket{query}"
        self.ws = websocket.create_connection(url, timeout=60, skip_utf8_validation=True, **options)
        self.sid = ""
        self.closed_with: int | None = None
        self.pings = 0
        if not query:
            self.opened = json.loads(self.receive()[1:])
        if connect:
            self.send("40")
            self.sid = json.loads(self.receive()[2:])["sid"]

    def send(self, text: str) -> None:
        self.ws.send(text)

    def send_bytes(self, data: bytes) -> None:
        self.ws.send_binary(data)

    def send_frame(self, first_byte: int, payload: bytes, *, masked: bool = True) -> None:
        """One websocket frame as given, right or wrong."""
        length = len(payload)
        head = bytes([first_byte])
        bit = 0x80 if masked else 0
        if length < 126:
            head += bytes([bit | length])
        elif length < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", length)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", length)
        if masked:
            key = os.urandom(4)
            pad = (key * (length // 4 + 1))[:length]
            number = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
            head, payload = head + key, number.to_bytes(length, "big")
        self.ws.sock.sendall(head + payload)

    def receive(self, timeout_s: float = 20.0) -> str:
        """The next text packet; pings are answered and passed over. "" when the node closed."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.ws.settimeout(max(0.01, deadline - time.monotonic()))
            opcode, data = self.ws.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self.closed_with = int.from_bytes(data[:2], "big") if data else None
                return ""
            text = data.decode()
            if text != "2":
                return text
            self.pings += 1
            self.ws.send("3")

    def until_end(self, timeout_s: float = 20.0) -> list[str]:
        """All text packets until the node ends the connection."""
        found = []
        try:
            while text := self.receive(timeout_s):
                found.append(text)
        except (OSError, websocket.WebSocketConnectionClosedException) as error:
            assert not isinstance(error, TimeoutError), found
            assert not isinstance(error, websocket.WebSocketTimeoutException), found
        return found

    def call(self, event: str, payload: Any = None, number: int = 99) -> dict[str, Any]:
        """The ack of an event; packets before it are passed over."""
        self.send(f"42{number}{json.dumps([event, payload])}")
        return self.answer(number)

    def answer(self, number: int, timeout_s: float = 20.0) -> dict[str, Any]:
        head = f"43{number}["
        while True:
            text = self.receive(timeout_s)
            assert text, f"closed before the answer to {number}"
            if text.startswith(head):
                answer: dict[str, Any] = json.loads(text[len(head) - 1 :])[0]
                return answer

    def error(self, timeout_s: float = 20.0) -> dict[str, Any]:
        """The next `service_error`."""
        while True:
            text = self.receive(timeout_s)
            assert text, "closed before an error"
            if text.startswith('42["service_error"'):
                error: dict[str, Any] = json.loads(text[2:])[1]
                return error

    def close(self) -> None:
        """Close as the protocol says."""
        self.ws.close(timeout=1)

    def cut(self) -> None:
        """End the TCP connection, whatever state it is in."""
        self.ws.shutdown()


class RawPolling:
    """A long-polling client; connected to namespace `/`."""

    def __init__(self, port: int, *, connect: bool = True, auth: Any = None) -> None:
        self.port = port
        self.engine_sid = ""
        self.waiting: list[str] = []
        self.engine_sid = json.loads(self.get()[0][1:])["sid"]
        if connect:
            self.post("40" + ("" if auth is None else json.dumps(auth)))
            self.sid = json.loads(self.receive()[2:])["sid"]

    def call(self, event: str, payload: Any = None, number: int = 99) -> dict[str, Any]:
        """The ack of an event; packets before it are passed over."""
        self.post(f"42{number}{json.dumps([event, payload])}")
        return self.answer(number)

    def request(
        self, method: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        path = "/socket.io/?EIO=4&transport=polling"
        if self.engine_sid:
            path += f"&sid={self.engine_sid}"
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, data

    def get(self) -> list[str]:
        status, body = self.request("GET")
        assert status == 200, (status, body)
        return body.decode().split("\x1e")

    def post(self, *packets: str) -> None:
        status, body = self.request("POST", "\x1e".join(packets).encode())
        assert status == 200, (status, body)

    def receive(self) -> str:
        while True:
            while self.waiting:
                text = self.waiting.pop(0)
                if text != "2":
                    return text
                self.post("3")
            self.waiting = self.get()

    def answer(self, number: int) -> dict[str, Any]:
        head = f"43{number}["
        while True:
            text = self.receive()
            if text.startswith(head):
                answer: dict[str, Any] = json.loads(text[len(head) - 1 :])[0]
                return answer
