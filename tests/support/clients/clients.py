"""Clients for tests: python-socketio's, and a bare websocket that speaks the protocol."""

from __future__ import annotations

import itertools
import json
from typing import Any

import socketio
import websocket

from service.sockets.events.outgoing import SERVER_EVENTS
from tests.support.waiting import wait_until


class Client:
    """python-socketio's client, which notes every event.

    Args:
        answers: event → what to acknowledge it with (a value, or a function of the payload).
    """

    def __init__(
        self,
        url: str,
        *,
        transports: tuple[str, ...] = ("websocket",),
        reconnection: bool = False,
        answers: dict[str, Any] | None = None,
    ) -> None:
        self.events: list[tuple[str, Any]] = []
        self.disconnects = 0
        self.sio = socketio.Client(
            reconnection=reconnection,
            handle_sigint=False,
            # In Python, so slow that on a busy machine a client that is sent megabytes gets to no ping in time.
            websocket_extra_options={"skip_utf8_validation": True},
        )
        for event in SERVER_EVENTS:
            self.sio.on(event, self._noting(event, (answers or {}).get(event)))
        self.sio.on("disconnect", self._note_disconnect)
        self.sio.connect(url, transports=list(transports), wait_timeout=60)
        self._opened = (getattr(self.sio.eio.ws, "sock", None), self.sio.eio.http)

    def _noting(self, event: str, answer: Any) -> Any:
        def note(*payload: Any) -> Any:
            self.events.append((event, payload[0] if payload else None))
            return answer(*payload) if callable(answer) else answer

        return note

    def _note_disconnect(self, *_: Any) -> None:
        self.disconnects += 1

    def call(self, event: str, payload: Any = None, timeout_s: float = 20) -> dict[str, Any]:
        """The ack."""
        return self.sio.call(event, payload, timeout=timeout_s)

    def ok(self, event: str, payload: Any = None, timeout_s: float = 20) -> dict[str, Any]:
        """The ack, which must be one of success."""
        answer = self.call(event, payload, timeout_s)
        assert answer["ok"], answer
        return answer

    def error(self, event: str, payload: Any = None, timeout_s: float = 20) -> dict[str, Any]:
        """The error, which the ack must hold."""
        answer = self.call(event, payload, timeout_s)
        assert not answer["ok"], answer
        return answer["error"]

    def emit(self, event: str, payload: Any = None) -> None:
        self.sio.emit(event, payload)

    def got(self, event: str) -> list[Any]:
        """Payloads of this event so far."""
        return [payload for name, payload in list(self.events) if name == event]

    def await_event(self, event: str, timeout_s: float = 20, where: Any = None) -> Any:
        """The first payload of this event (for which `where(payload)` holds)."""

        def found() -> list[Any]:
            return [p for p in self.got(event) if where is None or where(p)]

        return wait_until(found, timeout_s, what=f"event {event}")[0]

    def await_end(self, timeout_s: float = 20) -> None:
        wait_until(lambda: not self.sio.connected, timeout_s, what="the socket is closed")

    def close(self) -> None:
        self.sio.disconnect()
        for left in self._opened:  # python-engineio forgets them when the other side closes first
            if left is not None:
                left.close()


class RawSocket:
    """A websocket that speaks Engine.IO 4 and Socket.IO 5 by hand."""

    def __init__(self, url: str, *, connect: bool = True, **options: Any) -> None:
        self.ws = websocket.create_connection(
            url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket",
            timeout=60,
            skip_utf8_validation=True,
            **options,
        )
        self._sock = self.ws.sock
        self.opened = json.loads(self.ws.recv()[1:])
        self.sid = ""
        self._numbers = itertools.count(1)
        if connect:
            self.ws.send("40")
            self.sid = json.loads(self.packet("40")[2:])["sid"]

    def packet(self, start: str) -> str:
        """The next packet that begins so; pings are answered, the rest is dropped."""
        while True:
            text = self.ws.recv()
            if text == "2":
                self.ws.send("3")
            elif not text:
                raise ConnectionError("closed")
            elif text.startswith(start):
                return text

    def send(self, text: str) -> None:
        """One packet as it stands."""
        self.ws.send(text)

    def call(self, event: str, payload: Any = None) -> dict[str, Any]:
        return self.call_json(json.dumps([event, payload]))

    def call_json(self, text: str) -> dict[str, Any]:
        """The ack of an event given as JSON text."""
        number = next(self._numbers)
        self.ws.send(f"42{number}{text}")
        return json.loads(self.packet(f"43{number}[")[len(f"43{number}") :])[0]

    def event(self, name: str) -> Any:
        """The payload of the next event with this name."""
        return json.loads(self.packet(f'42["{name}"')[2:])[1]

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._sock.close()
        self.ws.sock = None

    def close(self) -> None:
        try:
            self.ws.close(timeout=1)
        finally:
            self._sock.close()  # websocket-client forgets it after some errors
