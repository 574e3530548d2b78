"""A Socket.IO client over a websocket, of the people in a run.

It is written apart from the service on purpose, with the frames of another library (wsproto): a
fault in the service's own codec must not hide itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

Reply = Callable[[Any], None]
#: Gets event, first argument, and, where an ack is wanted, a function that sends it.
OnEvent = Callable[[str, Any, Reply | None], None]


class SocketLost(ConnectionError):
    """The connection ended or never came to be."""


class Socket:
    """One connection; made by `connect`, over when `closed` is done.

    Attributes:
        closed: How it ended.
        bytes_per_s: How much is read at most; 0: nothing; None: all that comes.
    """

    def __init__(self, on_event: OnEvent) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = loop.create_future()
        self.bytes_per_s: int | None = None
        self._on_event = on_event
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._ready: asyncio.Future[None] = loop.create_future()
        self._acks: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._text = ""
        self._patience_s = 20.0
        self._reading: asyncio.Task[None] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @classmethod
    async def connect(
        cls,
        port: int,
        on_event: OnEvent,
        timeout_s: float = 8,
        line: socket.socket | None = None,
    ) -> Socket:
        """Connect to a node on this machine and to the namespace `/`.

        Args:
            port: Of the node.
            on_event: Gets all events.
            timeout_s: How long it may take.
            line: A connection that is there already.

        Raises:
            SocketLost: It could not be done within `timeout_s`.
        """
        made = cls(on_event)
        try:
            async with asyncio.timeout(timeout_s):
                where = {"sock": line} if line else {"host": "127.0.0.1", "port": port}
                made._reader, made._writer = await asyncio.open_connection(**where)
                made._reading = asyncio.create_task(made._read())
                target = "/socket.io/?EIO=4&transport=websocket"
                made._write(made._connection.send(Request(host=f"127.0.0.1:{port}", target=target)))
                await asyncio.shield(made._ready)
        except (OSError, TimeoutError) as error:
            made.close("not connected")
            raise SocketLost(str(error) or "no answer") from error
        except asyncio.CancelledError:
            made.close("cancelled")
            raise
        return made

    def emit(self, event: str, payload: Any, number: int | None = None) -> None:
        """Send an event; silent when the connection is over."""
        text = f"42{'' if number is None else number}{json.dumps([event, payload])}"
        self._send_text(text)

    def ask(self, event: str, payload: Any) -> asyncio.Future[Any]:
        """Send an event; the result is its ack, or `SocketLost`."""
        self._number += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self.closed.done():
            answer.set_exception(SocketLost(self.closed.result()))
        else:
            self._acks[self._number] = answer
            self.emit(event, payload, self._number)
        return answer

    async def call(self, event: str, payload: Any, timeout_s: float = 20) -> Any:
        """Return the ack of an event.

        Raises:
            SocketLost: The connection ended first, or nothing came within `timeout_s`.
        """
        try:
            return await asyncio.wait_for(asyncio.shield(self.ask(event, payload)), timeout_s)
        except TimeoutError as error:
            raise SocketLost(f"no ack of {event} within {timeout_s} s") from error

    def close(self, reason: str = "closed here", *, abruptly: bool = False) -> None:
        """End the connection; `abruptly`: with a reset, and nothing said."""
        if self.closed.done():
            return
        self.closed.set_result(reason)
        if self._writer is not None and abruptly:
            self._writer.transport.abort()
        elif self._writer is not None:
            self._writer.close()
        for answer in self._acks.values():
            if not answer.done():
                answer.set_exception(SocketLost(reason))
        self._acks.clear()
        if not self._ready.done():
            self._ready.set_exception(SocketLost(reason))
            self._ready.exception()
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()

    async def _read(self) -> None:
        assert self._reader is not None
        reason = "closed by the node"
        try:
            while not self.closed.done():
                size = await self._may_read()
                try:
                    async with asyncio.timeout(self._patience_s):
                        data = await self._reader.read(size)
                except TimeoutError:
                    reason = "silence"
                    break
                if not data:
                    break
                self._connection.receive_data(data)
                for event in self._connection.events():
                    self._take(event)
        except (OSError, SocketLost) as error:
            reason = str(error)
        finally:
            self.close(reason)

    async def _may_read(self) -> int:
        """Wait until something may be read; return how much."""
        if self.bytes_per_s is None:
            return 1 << 16
        await asyncio.sleep(0.2)
        while self.bytes_per_s == 0:
            await asyncio.sleep(0.2)
        return max(1, self.bytes_per_s // 5)

    def _take(self, event: Any) -> None:
        if isinstance(event, TextMessage):
            self._text += event.data
            if event.message_finished:
                packet, self._text = self._text, ""
                self._packet(packet)
        elif isinstance(event, Ping):
            self._write(self._connection.send(event.response()))
        elif isinstance(event, AcceptConnection):
            self._send_text("40")
        elif isinstance(event, RejectConnection):
            raise SocketLost(f"answered {event.status_code}")
        elif isinstance(event, CloseConnection):
            raise SocketLost(f"close {int(event.code)} {event.reason or ''}".strip())

    def _packet(self, packet: str) -> None:
        if packet.startswith("0"):
            opened = json.loads(packet[1:])
            self._patience_s = (opened["pingInterval"] + opened["pingTimeout"]) / 1000
        elif packet == "2":
            self._send_text("3")
        elif packet.startswith("40"):
            if not self._ready.done():
                self._ready.set_result(None)
        elif packet.startswith(("41", "44")):
            raise SocketLost(packet)
        elif packet.startswith("42"):
            number, payload = _numbered(packet[2:])
            reply = None
            if number is not None:
                wanted = number
                reply = lambda value: self._send_text(f"43{wanted}{json.dumps([value])}")  # noqa: E731
            self._on_event(payload[0], payload[1] if len(payload) > 1 else None, reply)
        elif packet.startswith("43"):
            number, payload = _numbered(packet[2:])
            answer = self._acks.pop(number or 0, None)
            if answer is not None and not answer.done():
                answer.set_result(payload[0] if payload else None)

    def _send_text(self, text: str) -> None:
        if not self.closed.done():
            self._write(self._connection.send(TextMessage(data=text)))

    def _write(self, data: bytes) -> None:
        assert self._writer is not None
        with contextlib.suppress(OSError):
            self._writer.write(data)


def _numbered(text: str) -> tuple[int | None, list[Any]]:
    digits = len(text) - len(text.lstrip("0123456789"))
    return (int(text[:digits]) if digits else None), json.loads(text[digits:])
