"""One Socket.IO connection over a websocket: the client side of `muster agent` and `simulate`.

What it does: HTTP upgrade, RFC 6455 frames, Engine.IO v4 packets, Socket.IO v5 events and acks in
the default namespace, all in one `asyncio.Protocol`, with the standard library and orjson.

Why not python-socketio's client: `muster simulate` wants a thousand devices on one core. Measured
with 200 devices, updates of two readings with acks, one core of a virtual machine (±20 %):

| client | CPU per update | per connect | memory each | what each brings |
|---|---|---|---|---|
| python-socketio `Client` | 250–350 µs | 1,780 µs | 54 kB | 2 threads |
| python-socketio `AsyncClient` | 120 µs | 1,250 µs | 33 kB | 4 tasks, needs aiohttp |
| this one | 40–53 µs | 570 µs | 4 kB | a timer |

Clients of other makers are tested as they are, in tests/cluster/test_clients.py.

What it does not do: polling, binary events, other namespaces, compression, HTTP proxies.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson

#: RFC 6455, section 1.3: what the server mixes into the key to prove that it speaks websocket.
_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: A server frame above this is refused: no event of the protocol comes near it.
_MAX_FRAME_BYTES = 64 << 20
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10

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
        on_closed: Called once with the reason when the connection is over, whoever ended it.
    """

    def __init__(self, path: str, host: str, auth: Any, on_event: OnEvent, on_closed: OnClosed):
        self.sid = ""
        self.closed = False
        self._path, self._host, self._auth = path, host, auth
        self._on_event, self._on_closed = on_event, on_closed
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._key = base64.b64encode(os.urandom(16))
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._upgraded = False
        self._fragments: list[bytes] = []
        self._acks: dict[int, Reply] = {}
        self._next_ack = 0
        self._heard_s = self._loop.time()
        self._silence_s = 45.0
        self._watch: asyncio.TimerHandle | None = None

    # -- what a user of the connection calls ------------------------------------------------

    def emit(self, event: str, payload: Any, on_ack: Reply | None = None) -> None:
        """Send an event; `on_ack` gets the first argument of its ack. Silent when closed."""
        ack_id = ""
        if on_ack is not None:
            self._next_ack += 1
            self._acks[self._next_ack] = on_ack
            ack_id = str(self._next_ack)
        self._send_text(b"42" + ack_id.encode() + orjson.dumps([event, payload]))

    async def call(self, event: str, payload: Any, timeout_s: float = 10.0) -> Any:
        """The ack of an event.

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
            return await asyncio.wait_for(answer, timeout_s)
        finally:
            self._calls.discard(answer)

    def close(self, reason: str = "closed here") -> None:
        """Leave in good order: Socket.IO disconnect, websocket close frame, end of the stream."""
        if self._transport is not None and not self.closed:
            if self._upgraded:
                self._send_text(b"41")
                self._send_frame(_CLOSE, b"\x03\xe8")
            self._transport.close()
        self._end(reason)

    def backlog_bytes(self) -> int:
        """What the network has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    # -- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._calls: set[asyncio.Future[Any]] = set()
        transport.write(
            b"GET " + self._path.encode() + b"?EIO=4&transport=websocket HTTP/1.1\r\n"
            b"Host: " + self._host.encode() + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: " + self._key + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        self._buffer += data
        if not self._upgraded and not self._read_response():
            return
        try:
            self._read_frames()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._abort(f"the node sent something that is not Socket.IO: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"connection lost: {exc}" if exc else "closed by the node")

    # -- reading ----------------------------------------------------------------------------

    def _read_response(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > 65536:
                self._abort("no HTTP answer")
            return False
        status, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in lines)
        }
        wanted = base64.b64encode(
            hashlib.sha1(self._key + _ACCEPT_SUFFIX, usedforsecurity=False).digest()
        )
        if b" 101 " not in status + b" " or headers.get(b"sec-websocket-accept") != wanted:
            self._abort(f"no websocket: {status.decode('latin-1', 'replace')}")
            return False
        del self._buffer[: end + 4]
        self._upgraded = True
        return True

    def _read_frames(self) -> None:
        buffer, at = self._buffer, 0
        available = len(buffer)
        while available - at >= 2 and not self.closed:
            first, length, start = buffer[at], buffer[at + 1], at + 2
            if length == 126:
                start += 2
                length = int.from_bytes(buffer[at + 2 : start]) if available >= start else -1
            elif length == 127:
                start += 8
                length = int.from_bytes(buffer[at + 2 : start]) if available >= start else -1
            elif length > 127:
                raise ValueError("masked frame")
            if length > _MAX_FRAME_BYTES:
                raise ValueError("frame too large")
            if length < 0 or available - start < length:
                break
            at = start + length
            self._on_frame(first, bytes(buffer[start:at]))
        del buffer[:at]

    def _on_frame(self, first: int, payload: bytes) -> None:
        opcode = first & 0x0F
        if opcode in (0, _TEXT, _BINARY):
            if first & 0x80 and not self._fragments:
                self._on_packet(payload)
                return
            self._fragments.append(payload)
            if first & 0x80:
                whole = b"".join(self._fragments)
                self._fragments.clear()
                self._on_packet(whole)
        elif opcode == _PING:
            self._send_frame(_PONG, payload)
        elif opcode == _CLOSE:
            self._send_frame(_CLOSE, payload[:2])
            self._abort("closed by the node")

    def _on_packet(self, packet: bytes) -> None:
        kind = packet[:2]
        if kind == b"42":
            ack_id, arguments = _split(packet)
            reply = None if ack_id is None else self._reply_to(ack_id)
            self._on_event(arguments[0], arguments[1] if len(arguments) > 1 else None, reply)
        elif kind == b"43":
            ack_id, arguments = _split(packet)
            on_ack = self._acks.pop(-1 if ack_id is None else ack_id, None)
            if on_ack is not None:
                on_ack(arguments[0] if arguments else None)
        elif kind[:1] == b"2":
            self._send_text(b"3" + packet[1:])
        elif kind[:1] == b"0":
            opened = orjson.loads(packet[1:])
            self._silence_s = (opened["pingInterval"] + opened["pingTimeout"]) / 1000
            self._watch = self._loop.call_later(self._silence_s, self._check_silence)
            auth = b"" if self._auth is None else orjson.dumps(self._auth)
            self._send_text(b"40" + auth)
        elif kind == b"40":
            self.sid = orjson.loads(packet[2:])["sid"]
            if not self.ready.done():
                self.ready.set_result(None)
        elif kind == b"44":
            refused = orjson.loads(packet[2:])
            error = refused.get("data")
            if isinstance(error, dict) and "code" in error and not self.ready.done():
                self.ready.set_exception(Refused(error))
            self._abort(f"refused: {refused.get('message', 'no reason given')}")
        elif kind == b"41" or kind[:1] == b"1":
            self._abort("disconnected by the node")

    def _reply_to(self, ack_id: int) -> Reply:
        def reply(value: Any) -> None:
            self._send_text(b"43%d" % ack_id + orjson.dumps([] if value is None else [value]))

        return reply

    # -- writing and ending -----------------------------------------------------------------

    def _send_text(self, text: bytes) -> None:
        self._send_frame(_TEXT, text)

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        if self._transport is None or self.closed:
            return
        length = len(payload)
        if length < 126:
            header = bytes((0x80 | opcode, 0x80 | length))
        elif length < 65536:
            header = bytes((0x80 | opcode, 0xFE)) + length.to_bytes(2)
        else:
            header = bytes((0x80 | opcode, 0xFF)) + length.to_bytes(8)
        mask = random.getrandbits(32).to_bytes(4)
        # One integer XOR over the whole payload: 20 times faster than a loop over its bytes.
        stretched = (mask * (length // 4 + 1))[:length]
        masked = int.from_bytes(payload) ^ int.from_bytes(stretched)
        self._transport.write(header + mask + masked.to_bytes(length))

    def _check_silence(self) -> None:
        quiet_s = self._loop.time() - self._heard_s
        if quiet_s >= self._silence_s:
            self._abort(f"nothing heard for {quiet_s:.0f} s")
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


def _split(packet: bytes) -> tuple[int | None, list[Any]]:
    """Ack id, if any, and arguments of an event or ack packet."""
    start = packet.index(b"[")
    return (int(packet[2:start]) if start > 2 else None), orjson.loads(packet[start:])


async def connect(
    url: str, *, on_event: OnEvent, on_closed: OnClosed, auth: Any = None, timeout_s: float = 10.0
) -> Connection:
    """A connected socket.

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
