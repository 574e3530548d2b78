"""A Socket.IO connection over a websocket, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidHandshake, WebSocketException

from muster_client import protocol
from muster_client.errors import NotConnected, Refused
from muster_client.waiting import within

log = logging.getLogger("muster_client")

#: Sends the ack of an event.
Reply = Callable[[Any], None]
OnEvent = Callable[[str, Any, "Reply | None"], None]

#: A message of the service is not larger: a page of 500 summaries and a session with all its data.
MAX_MESSAGE_BYTES = 64 << 20


def websocket_url(url: str) -> str:
    """Return the address of the websocket of a service.

    Raises:
        ValueError: It is no http, https, ws or wss address.
    """
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError(f"{url!r} is no address such as http://127.0.0.1:5000")
    path = parts.path.rstrip("/") + "/socket.io/"
    return urlunsplit((scheme, parts.netloc, path, "EIO=4&transport=websocket", ""))


class Socket:
    """A connection to the namespace `/`; made by `connect`.

    Attributes:
        closed: Done when the connection is over, with the reason.
    """

    def __init__(self, websocket: ClientConnection, on_event: OnEvent) -> None:
        self._websocket = websocket
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._acks: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._silence_s = 60.0
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def connect(
        cls, url: str, on_event: OnEvent, auth: Mapping[str, Any] | None, timeout_s: float = 15.0
    ) -> Socket:
        """Connect.

        Args:
            url: Of a node or balancer.
            on_event: Gets event, first argument, and a function for its ack where one is wanted.
            auth: Sent with the connect.

        Raises:
            NotConnected: It could not be done within `timeout_s`.
            Refused: The service refused the connect, with its error.
        """
        try:
            websocket = await open_websocket(
                websocket_url(url),
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                ping_interval=None,  # the service pings
                open_timeout=timeout_s,
                close_timeout=2,
                proxy=None,
            )
        except (asyncio.TimeoutError, OSError, InvalidHandshake, WebSocketException) as error:
            raise NotConnected(f"{url}: {str(error) or 'no answer'}") from error
        made = cls(websocket, on_event)
        made._tasks = [asyncio.ensure_future(made._read()), asyncio.ensure_future(made._write())]
        made._send(protocol.connect(auth))
        try:
            await within(timeout_s, asyncio.shield(made._ready))
        except asyncio.TimeoutError as error:
            await made.leave("no answer to the connect")
            raise NotConnected(f"{url}: no answer to the connect") from error
        except BaseException:
            await made.leave("not connected")
            raise
        return made

    def emit(self, event: str, payload: Any) -> None:
        """Send an event without an ack; nothing happens when the connection is over."""
        self._send(protocol.event(event, payload))

    def ask(self, event: str, payload: Any) -> asyncio.Future[Any]:
        """Send an event; the result is its ack, or `NotConnected` when the connection ends first."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self.closed.done():
            answer.set_exception(NotConnected(self.closed.result()))
            return answer
        self._number = self._number % 0x7FFF_FFFF + 1
        self._acks[self._number] = answer
        self._send(protocol.event(event, payload, self._number))
        return answer

    async def call(self, event: str, payload: Any, timeout_s: float = 30.0) -> dict[str, Any]:
        """Return the ack of an event without its `ok`.

        Raises:
            Refused: The service answered with an error.
            NotConnected: The connection ended first, or no ack came within `timeout_s`.
        """
        try:
            answer = await within(timeout_s, asyncio.shield(self.ask(event, payload)))
        except asyncio.TimeoutError as error:
            raise NotConnected(f"no answer to {event} within {timeout_s:g} s") from error
        if not isinstance(answer, dict) or not answer.get("ok"):
            raise Refused(answer.get("error", {}) if isinstance(answer, dict) else {})
        return {name: value for name, value in answer.items() if name != "ok"}

    def close(self, reason: str) -> None:
        """End the connection, once; what waits for an answer gets `NotConnected`."""
        if self.closed.done():
            return
        self.closed.set_result(reason)
        for answer in self._acks.values():
            if not answer.done():
                answer.set_exception(NotConnected(reason))
        self._acks.clear()
        if not self._ready.done():
            self._ready.set_exception(NotConnected(reason))
            self._ready.exception()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._tasks.append(asyncio.ensure_future(self._close()))

    async def leave(self, reason: str) -> None:
        """End the connection, and wait until nothing of it is left."""
        self.close(reason)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close(self) -> None:
        try:
            with contextlib.suppress(OSError, WebSocketException, asyncio.TimeoutError):
                await self._websocket.close()
        finally:  # also when who waits for it is cancelled
            self._websocket.transport.abort()

    def _send(self, text: str) -> None:
        if not self.closed.done():
            self._outgoing.put_nowait(text)

    async def _write(self) -> None:
        try:
            while True:
                await self._websocket.send(await self._outgoing.get())
        except (OSError, WebSocketException) as error:
            self.close(str(error) or "the connection broke")

    async def _read(self) -> None:
        reason = "closed by the service"
        try:
            while True:
                message = await within(self._silence_s, self._websocket.recv())
                if isinstance(message, str):
                    packet = protocol.parse(message)
                    if packet is not None and not self._take(packet):
                        break
        except asyncio.TimeoutError:
            reason = f"nothing was heard for {self._silence_s:g} s"
        except (OSError, WebSocketException) as error:
            reason = str(error) or reason
        except Exception as error:  # noqa: BLE001 whatever came, nobody may wait for what follows it
            reason = f"what came is not of this protocol: {error!r}"
        self.close(reason)

    def _take(self, packet: protocol.Packet) -> bool:
        """Handle a packet; False: it ends the connection."""
        kind, number, payload = packet
        if kind == protocol.OPEN:
            self._silence_s = (payload["pingInterval"] + payload["pingTimeout"]) / 1000
        elif kind == protocol.PING:
            self._send(protocol.PONG)
        elif kind == protocol.CONNECT:
            if not self._ready.done():
                self._ready.set_result(None)
        elif kind == protocol.CONNECT_ERROR:
            error = payload.get("data") if isinstance(payload, dict) else None
            if not self._ready.done():
                self._ready.set_exception(Refused(error or {"message": str(payload)}))
                self._ready.exception()
            return False
        elif kind in (protocol.CLOSE, protocol.DISCONNECT):
            return False
        elif kind == protocol.EVENT and isinstance(payload, list) and payload:
            reply = None if number is None else self._reply(number)
            try:
                self._on_event(str(payload[0]), payload[1] if len(payload) > 1 else None, reply)
            except Exception:  # an event that is not understood must not cost the connection
                log.exception("the event %.100s could not be handled", payload[0])
        elif kind == protocol.ACK:
            answer = self._acks.pop(number or 0, None)
            if answer is not None and not answer.done():
                answer.set_result(payload[0] if payload else None)
        return True

    def _reply(self, number: int) -> Reply:
        return lambda answer: self._send(protocol.ack(number, answer))


class Backoff:
    """Delays between attempts to connect: they grow, and are random over their whole length."""

    def __init__(self, least_s: float = 0.25, most_s: float = 15.0) -> None:
        self._least_s, self._most_s = least_s, most_s
        self._failed = 0

    def succeeded(self) -> None:
        """Begin anew."""
        self._failed = 0

    def next_s(self) -> float:
        """Return the next delay."""
        bound = min(self._most_s, self._least_s * 2.0 ** min(self._failed, 16))
        self._failed += 1
        return random.uniform(0, bound)
