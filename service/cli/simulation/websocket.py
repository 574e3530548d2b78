"""One Socket.IO connection over a websocket: the client side of `muster simulate`.

What it does: the bytes of one connection in and out, and who waits for what, in one
`asyncio.Protocol`. How handshake, frames and packets look is `service.protocol`'s, as for the node.
A simulated device wants to cost little; docs/decisions/0017-two-clients.md has the figures.
Clients of other makers are tested as they are, in tests/cluster/clients/test_clients.py.

What it does not do: polling, binary events, other namespaces, compression, HTTP proxies.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson

from service.protocol import frames, handshake, packets
from service.protocol.frames import Control, Fault, Message, Parser

#: A message above this is refused: no event of the protocol comes near it.
_MAX_MESSAGE_BYTES = 64 << 20
#: An answer to the upgrade is shorter.
_MAX_ANSWER_BYTES = 64 << 10

Reply = Callable[[Any], None]
OnEvent = Callable[[str, Any, "Reply | None"], None]
OnClosed = Callable[[str], None]


class ConnectError(ConnectionError):
    """The node did not take the connection."""


class Refused(ConnectError):
    """The node answered the connect with an error of the protocol.

    Attributes:
        error: code, message, retryable and what else an error has.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"refused: {error.get('code')}: {error.get('message')}")
        self.error = error


class Connection(asyncio.Protocol):
    """A connected Socket.IO socket; made by `connect`.

    Args:
        on_event: Called with event name, first argument and, where an ack is wanted, a function
            that sends it.
        on_closed: Called once with the reason when the connection is over, whichever side ended it.
    """

    def __init__(self, path: str, host: str, auth: Any, on_event: OnEvent, on_closed: OnClosed):
        self.sid = ""
        self.closed = False
        self._path, self._host, self._auth = path, host, auth
        self._on_event, self._on_closed = on_event, on_closed
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._key = handshake.key_of(os.urandom(16))
        self._transport: asyncio.Transport | None = None
        self._answer = b""  # to the upgrade, until it is whole
        self._parser = Parser(_MAX_MESSAGE_BYTES, from_client=False)
        self._upgraded = False
        self._acks: dict[int, Reply] = {}
        self._next_ack = 0
        self._received_s = self._loop.time()
        self._silence_s = 45.0
        self._watch: asyncio.TimerHandle | None = None

    # -- what a user of the connection calls ------------------------------------------------

    def emit(self, event: str, payload: Any, on_ack: Reply | None = None) -> None:
        """Send an event; `on_ack` gets the first argument of its ack. Silent when closed."""
        number = None
        if on_ack is not None:
            self._next_ack = number = self._next_ack + 1
            self._acks[number] = on_ack
        self._send_packet(packets.event(orjson.dumps([event, payload]), number))

    async def call(self, event: str, payload: Any, timeout_s: float = 10.0) -> Any:
        """Wait for the ack of an event.

        Raises:
            ConnectionError: The connection ended first.
            TimeoutError: No ack within `timeout_s`.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()

        def on_ack(value: Any) -> None:
            if not answer.done():
                answer.set_result(value)

        self._calls.add(answer)
        try:
            if self.closed:
                raise ConnectionError("the connection is closed")
            self.emit(event, payload, on_ack)
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            self._calls.discard(answer)

    def close(self, reason: str = "closed here") -> None:
        """Leave in good order: Socket.IO disconnect, websocket close frame, end of the stream."""
        if self._transport is not None and not self.closed:
            if self._upgraded:
                self._send_packet(packets.DISCONNECT.encode())
                self._send(frames.CLOSE, frames.close_payload(frames.NORMAL))
            self._transport.close()
        self._end(reason)

    def backlog_bytes(self) -> int:
        """Return what the network has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    # -- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._calls: set[asyncio.Future[Any]] = set()
        target = f"{self._path}?EIO=4&transport=websocket"
        transport.write(handshake.request(target, self._host, self._key))

    def data_received(self, data: bytes) -> None:
        self._received_s = self._loop.time()
        if not self._upgraded:
            data = self._read_answer(data)
            if not data:
                return
        try:
            for message in self._parser.feed(data):
                if self.closed:
                    return
                if message.__class__ is str:
                    self._on_packet(message)
                else:
                    self._on_other(message)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._abort(f"the node sent something that is not Socket.IO: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"connection lost: {exc}" if exc else "closed by the node")

    # -- reading ----------------------------------------------------------------------------

    def _read_answer(self, data: bytes) -> bytes:
        """Take the answer to the upgrade; what came behind it."""
        self._answer += data
        head, end, rest = self._answer.partition(b"\r\n\r\n")
        if not end:
            if len(head) > _MAX_ANSWER_BYTES:
                self._abort("no HTTP answer")
            return b""
        self._answer = b""
        refusal = handshake.refusal_of_answer(head, self._key)
        if refusal:
            self._abort(refusal)
            return b""
        self._upgraded = True
        return rest

    def _on_other(self, message: Message) -> None:
        """Take what is no text."""
        if isinstance(message, Control):
            if message.opcode == frames.PING:
                self._send(frames.PONG, message.payload)
            elif message.opcode == frames.CLOSE:
                self._send(frames.CLOSE, message.payload[:2])
                self._abort("closed by the node")
        elif isinstance(message, Fault):
            self._send(frames.CLOSE, frames.close_payload(message.code))
            self._abort(f"the node broke the protocol: {message.words}")
        else:
            raise TypeError("binary data")

    def _on_packet(self, packet: str) -> None:
        """Take one packet of Engine.IO."""
        kind = packet[:1]
        if kind == packets.MESSAGE:
            head = packets.read_head(packet[1:])
            if head is None:
                raise ValueError(packet[:40])
            self._on_head(head)
        elif kind == packets.PING:
            self._send(frames.TEXT, (packets.PONG + packet[1:]).encode())
        elif kind == packets.OPEN:
            opened = orjson.loads(packet[1:])
            self._silence_s = (opened["pingInterval"] + opened["pingTimeout"]) / 1000
            self._watch = self._loop.call_later(self._silence_s, self._check_silence)
            auth = b"" if self._auth is None else orjson.dumps(self._auth)
            self._send_packet(packets.connect(auth))
        elif kind == packets.CLOSE:
            self._abort("disconnected by the node")

    def _on_head(self, head: packets.Head) -> None:
        """Take one packet of Socket.IO."""
        if head.kind == packets.ACK:
            arguments = orjson.loads(head.body)
            on_ack = self._acks.pop(-1 if head.number is None else head.number, None)
            if on_ack is not None:
                on_ack(arguments[0] if arguments else None)
        elif head.kind == packets.EVENT:
            arguments = orjson.loads(head.body)
            reply = None if head.number is None else self._reply_to(head.number)
            self._on_event(arguments[0], arguments[1] if len(arguments) > 1 else None, reply)
        elif head.kind == packets.CONNECT:
            self.sid = orjson.loads(head.body)["sid"]
            if not self.ready.done():
                self.ready.set_result(None)
        elif head.kind == packets.CONNECT_ERROR:
            refused = orjson.loads(head.body)
            error = refused.get("data")
            if isinstance(error, dict) and "code" in error and not self.ready.done():
                self.ready.set_exception(Refused(error))
            self._abort(f"refused: {refused.get('message', 'no reason given')}")
        elif head.kind == packets.DISCONNECT:
            self._abort("disconnected by the node")

    def _reply_to(self, ack_id: int) -> Reply:
        def reply(value: Any) -> None:
            self._send_packet(packets.ack(ack_id, orjson.dumps([] if value is None else [value])))

        return reply

    # -- writing and ending -----------------------------------------------------------------

    def _send_packet(self, packet: bytes) -> None:
        self._send(frames.TEXT, packets.message(packet))

    def _send(self, opcode: int, payload: bytes) -> None:
        if self._transport is not None and not self.closed:
            key = random.getrandbits(32).to_bytes(4)
            self._transport.write(frames.encode_masked(opcode, payload, key))

    def _check_silence(self) -> None:
        quiet_s = self._loop.time() - self._received_s
        if quiet_s >= self._silence_s:
            self._abort(f"nothing received for {quiet_s:.0f} s")
        else:
            self._watch = self._loop.call_later(self._silence_s - quiet_s, self._check_silence)

    def _abort(self, reason: str) -> None:
        if self._transport is not None:
            self._transport.close()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        if self._watch is not None:
            self._watch.cancel()
        self._acks.clear()
        for answer in self._calls if self._transport is not None else ():
            if not answer.done():
                answer.set_exception(ConnectionError(reason))
        if not self.ready.done():
            self.ready.set_exception(ConnectError(reason))
        else:
            self._on_closed(reason)


async def connect(
    url: str, *, on_event: OnEvent, on_closed: OnClosed, auth: Any = None, timeout_s: float = 10.0
) -> Connection:
    """Return a connected socket.

    Args:
        url: `http`, `https`, `ws` or `wss`; a path in it stands before `/socket.io/`.
        on_event: See `Connection`.
        on_closed: See `Connection`.
        auth: What the Socket.IO handshake carries.
        timeout_s: For all of it: connect, upgrade, handshakes.

    Raises:
        ConnectionError: The node refused, is not there, or does not speak the protocol.
        TimeoutError: Not connected within `timeout_s`.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        raise ConnectError(f"not a URL of a node: {url!r}")
    secure = parts.scheme in ("https", "wss")
    path = parts.path.rstrip("/") + "/socket.io/"
    connection: Connection | None = None

    def make() -> Connection:
        nonlocal connection
        connection = Connection(path, parts.netloc.rpartition("@")[2], auth, on_event, on_closed)
        return connection

    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(
                make,
                parts.hostname,
                parts.port or (443 if secure else 80),
                ssl=ssl.create_default_context() if secure else None,
            )
            assert connection is not None
            await connection.ready
            return connection
    except BaseException:
        if connection is not None:
            connection.close("gave up connecting")
            if connection.ready.done() and not connection.ready.cancelled():
                connection.ready.exception()
        raise
