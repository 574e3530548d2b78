"""The client side of Engine.IO over a websocket, byte by byte, against a transport in memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from service.cli.simulation import websocket
from service.cli.simulation.websocket import ConnectError, Connection

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OPEN = '0{"sid":"e1","upgrades":[],"pingInterval":10000,"pingTimeout":5000}'


class Wire(asyncio.Transport):
    """What the client wrote, unmasked."""

    def __init__(self) -> None:
        super().__init__()
        self.request = b""
        self.frames: list[tuple[int, bytes]] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        if not self.request:
            self.request = bytes(data)
            return
        opcode, length, start = data[0] & 15, data[1] & 127, 2
        assert data[0] & 0x80 and data[1] & 0x80, "client frames are whole and masked"
        if length == 126:
            length, start = int.from_bytes(data[2:4]), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10]), 10
        mask, body = data[start : start + 4], data[start + 4 :]
        assert len(body) == length
        self.frames.append((opcode, bytes(b ^ mask[i % 4] for i, b in enumerate(body))))

    def close(self) -> None:
        self.is_closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def texts(self) -> list[str]:
        return [body.decode() for opcode, body in self.frames if opcode == 1]


class Talk:
    """A connection, its wire, and what its user heard."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.replies: list[Callable[[Any], None] | None] = []
        self.closed: list[str] = []
        self.wire = Wire()
        self.connection = Connection(
            "/socket.io/", "h:1", None, self._event, lambda reason: self.closed.append(reason)
        )
        self.connection.connection_made(self.wire)

    def _event(self, event: str, payload: Any, reply: Any) -> None:
        self.events.append((event, payload))
        self.replies.append(reply)

    def accept(self) -> None:
        """The HTTP answer, the handshakes of Engine.IO and of Socket.IO."""
        (key,) = [
            line.split(b": ")[1]
            for line in self.wire.request.split(b"\r\n")
            if line.startswith(b"Sec-WebSocket-Key")
        ]
        proof = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n"
        self.connection.data_received(head + frame(OPEN))
        assert self.wire.texts() == ["40"]
        self.connection.data_received(frame('40{"sid":"s1"}'))
        assert self.connection.ready.done() and self.connection.sid == "s1"


def frame(text: str | bytes, opcode: int = 1, final: bool = True) -> bytes:
    """A frame as a server sends it."""
    body = text.encode() if isinstance(text, str) else text
    first = bytes([opcode | (0x80 if final else 0)])
    if len(body) < 126:
        return first + bytes([len(body)]) + body
    if len(body) < 65536:
        return first + b"\x7e" + len(body).to_bytes(2) + body
    return first + b"\x7f" + len(body).to_bytes(8) + body


def talking(script: Callable[[Talk], None]) -> Talk:
    async def go() -> Talk:
        talk = Talk()
        talk.accept()
        script(talk)
        return talk

    return asyncio.run(go())


def test_request_asks_for_a_websocket_of_socket_io() -> None:
    talk = talking(lambda talk: None)
    request = talk.wire.request.decode()
    assert request.startswith("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h:1\r\n")


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 200_000])
def test_events_of_every_length_both_ways(size: int) -> None:
    text = "é" * (size // 2)

    def script(talk: Talk) -> None:
        talk.connection.data_received(frame("42" + json.dumps(["x", text], ensure_ascii=False)))
        talk.connection.emit("x", text)

    talk = talking(script)
    assert talk.events == [("x", text)]
    assert json.loads(talk.wire.texts()[-1][2:]) == ["x", text]


def test_bytes_one_by_one_and_many_frames_at_once() -> None:
    stream = b"".join(frame(f'42["n",{n}]') for n in range(5))

    def script(talk: Talk) -> None:
        for byte in stream:
            talk.connection.data_received(bytes([byte]))
        talk.connection.data_received(stream)

    assert [payload for _, payload in talking(script).events] == [0, 1, 2, 3, 4] * 2


def test_fragments_with_a_ping_between_are_one_event() -> None:
    def script(talk: Talk) -> None:
        talk.connection.data_received(frame('42["a",', final=False))
        talk.connection.data_received(frame(b"hi", opcode=9))
        talk.connection.data_received(frame('{"b":', opcode=0, final=False))
        talk.connection.data_received(frame("1}]", opcode=0))

    talk = talking(script)
    assert talk.events == [("a", {"b": 1})]
    assert (10, b"hi") in talk.wire.frames


def test_acks_find_their_event_and_commands_are_acked() -> None:
    answers: list[Any] = []

    def script(talk: Talk) -> None:
        talk.connection.emit("one", 1, answers.append)
        talk.connection.emit("two", 2, answers.append)
        talk.connection.data_received(frame('432[{"n":2}]') + frame('431[{"n":1}]'))
        talk.connection.data_received(frame("432[]") + frame("4399[1]"))
        talk.connection.data_received(frame('42912["command",{"command_id":"c"}]'))
        assert talk.replies[0] is not None
        talk.replies[0]({"ok": True})

    talk = talking(script)
    assert answers == [{"n": 2}, {"n": 1}]
    assert talk.wire.texts()[-1] == '43912[{"ok":true}]'


def test_engine_ping_is_answered() -> None:
    talk = talking(lambda talk: talk.connection.data_received(frame("2")))
    assert talk.wire.texts()[-1] == "3"


@pytest.mark.parametrize(
    "end",
    [
        frame("41"),
        frame("1"),
        frame(b"\x03\xe8", opcode=8),
        frame(b"attachment", opcode=2),
        b"\x81\x81aaaab",  # a server does not mask
        frame("42nonsense"),
        frame('42["x"'),
        b"\x81\x7f" + (1 << 40).to_bytes(8),
        frame(b"\xff"),
        b"\xc1\x00",  # a reserved bit
    ],
)
def test_goodbyes_and_nonsense_end_the_connection_once(end: bytes) -> None:
    def script(talk: Talk) -> None:
        talk.connection.data_received(end)
        talk.connection.data_received(frame("2"))
        talk.connection.connection_lost(None)

    talk = talking(script)
    assert len(talk.closed) == 1
    assert talk.wire.is_closed


def test_call_fails_when_the_connection_ends() -> None:
    async def go() -> None:
        talk = Talk()
        talk.accept()
        call = asyncio.ensure_future(talk.connection.call("register", {}))
        await asyncio.sleep(0)
        talk.connection.connection_lost(OSError("reset"))
        with pytest.raises(ConnectionError):
            await call
        with pytest.raises(ConnectionError):
            await talk.connection.call("register", {})

    asyncio.run(go())


def test_silence_longer_than_both_intervals_ends_the_connection() -> None:
    async def go() -> Talk:
        talk = Talk()
        talk.accept()
        talk.connection._received_s -= 20
        talk.connection._check_silence()
        return talk

    assert "nothing received" in asyncio.run(go()).closed[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_refused_upgrade_is_an_error(answer: bytes) -> None:
    async def go() -> None:
        talk = Talk()
        talk.connection.data_received(answer)
        with pytest.raises(ConnectError):
            await talk.connection.ready

    asyncio.run(go())


def test_connect_refused_by_socket_io_says_why() -> None:
    async def go() -> None:
        talk = Talk()
        talk.connection._upgraded = True
        talk.connection.data_received(frame('44{"message":"no room"}'))
        with pytest.raises(ConnectError, match="no room"):
            await talk.connection.ready

    asyncio.run(go())


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://h", "http://"])
def test_connect_to_something_that_is_no_url_is_an_error(url: str) -> None:
    with pytest.raises(ConnectError):
        asyncio.run(websocket.connect(url, on_event=lambda *_: None, on_closed=lambda _: None))
