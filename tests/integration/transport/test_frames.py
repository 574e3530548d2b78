"""Frames as RFC 6455 has them, right and wrong: the same on both transports and on eventlet and gevent."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest

from tests.support.clients.raw_clients import RawWebsocket
from tests.support.clients.raw_wires import Wire, masked, opened, text
from tests.support.nodes.socket_nodes import Node

pytestmark = pytest.mark.processes

Connect = Callable[..., RawWebsocket]


# --- the stream


def test_frame_in_the_same_segment_as_the_handshake_is_not_lost(wire: Callable[..., Wire]) -> None:
    one = wire(text("40") + text('421["echo",1]'))
    assert one.frame()[1].startswith(b'0{"sid"')
    assert one.frame()[1].startswith(b'40{"sid"')
    assert one.frame()[1] == b'431[{"ok":true,"echo":1}]'


def test_half_a_frame_with_the_handshake_is_completed_later(wire: Callable[..., Wire]) -> None:
    data = text("40") + text('421["echo","' + "x" * 20_000 + '"]')
    one = wire(data[:9000])
    one.tcp.sendall(data[9000:])
    assert len(one.until(b"431")) > 20_000


def test_answer_to_the_handshake_is_right(wire: Callable[..., Wire]) -> None:
    """RFC 6455, section 1.3; no extension, no subprotocol."""
    headers = wire().headers
    assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in headers
    assert len(headers) == 3


def test_stream_byte_by_byte(wire: Callable[..., Wire]) -> None:
    one = opened(wire)
    one.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in masked(0x01, b'421["ec') + masked(0x89, b"hi") + masked(0x80, b'ho",5]'):
        one.tcp.sendall(bytes([byte]))
    assert one.frame() == (10, b"hi")
    assert one.frame() == (1, b'431[{"ok":true,"echo":5}]')


def test_many_events_in_one_segment_are_answered_in_order(wire: Callable[..., Wire]) -> None:
    """Inline ones, and blocking ones in the middle."""
    one = opened(wire)
    one.tcp.sendall(
        b"".join(
            text(f'42{n}["slow",{{"s":0.01}}]' if n % 20 == 7 else f'42{n}["echo",{n}]')
            for n in range(1, 51)
        )
    )
    answers = [one.until(b"43") for _ in range(50)]
    assert [int(answer[2 : answer.index(b"[")]) for answer in answers] == list(range(1, 51))


def test_connect_and_events_before_its_answer_keep_their_order(wire: Callable[..., Wire]) -> None:
    """What comes while the CONNECT is worked on waits for it: also a leave and another connect."""
    one = wire(text("40") + text('421["echo",1]') + text("41") + text("40") + text('422["echo",2]'))
    packets = [one.frame()[1] for _ in range(5)]
    assert [packet[:3] for packet in packets] == [b'0{"', b"40{", b"431", b"40{", b"432"]


def test_200_kb_both_ways_while_others_are_served(ws: RawWebsocket, connect: Connect) -> None:
    other = connect()
    big = "ä" * 100_000
    for _ in range(5):
        ws.send(f'421["echo","{big}"]')
        assert other.call("echo", 1)["ok"]
        assert ws.answer(1)["echo"] == big


# --- closes


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        (b"\x03\xe8bye", 1000),
        (b"", 0),
        (b"\x0f\xa0", 4000),
        (b"\x03\xf1", 1009),
        (b"\x03\xf3", 1011),
    ],
)
def test_close_of_the_client_is_echoed_and_the_connection_ends(
    wire: Callable[..., Wire], sent: bytes, echoed: int
) -> None:
    one = opened(wire)
    one.tcp.sendall(masked(0x88, sent) + text('421["echo",1]'))
    assert one.closed_with() == echoed


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x012", 1002),
        (masked(0xC1, b"x"), 1002),
        (masked(0xA1, b"x"), 1002),
        (masked(0x91, b"x"), 1002),
        (masked(0x8B, b""), 1002),
        (masked(0x09, b"x"), 1002),
        (masked(0x01, b"x") + masked(0x81, b"x"), 1002),
        (b"\x81\xfe\x00\x05keysxxxxx", 1002),
        (b"\x81\xff" + struct.pack(">Q", 5) + b"keysxxxxx", 1002),
        (b"\x81\xff" + struct.pack(">Q", 1 << 63) + b"keys", 1002),
        (masked(0x83, b"x"), 1002),
        (masked(0x80, b"x"), 1002),
        (masked(0x89, b"x" * 126), 1002),
        (masked(0x88, b"\x03"), 1002),
        (masked(0x88, b"\x03\xec"), 1002),
        (masked(0x88, b"\x03\xe8\xff"), 1007),
        (masked(0x81, b"\xff\xfe"), 1007),
        (b"\x81\xff" + struct.pack(">Q", 1 << 40) + b"keys" + b"x" * 256, 1009),
        (b"\x82\xff" + struct.pack(">Q", 1 << 40), 1009),
    ],
    ids=[
        *("not masked", "reserved bit 1", "reserved bit 2", "reserved bit 3", "control opcode 11"),
        *("ping in pieces", "message within another", "5 written in 2 bytes", "5 in 8 bytes"),
        *("length of 64 bits", "reserved opcode", "continuation of nothing", "long ping"),
        *(
            "short close",
            "reserved close code",
            "close not UTF-8",
            "text not UTF-8",
            "huge",
            "huge binary",
        ),
    ],
)
def test_fault_is_answered_with_its_code(
    node: Node, wire: Callable[..., Wire], data: bytes, code: int
) -> None:
    one = opened(wire)
    one.tcp.sendall(data)
    assert one.closed_with() == code


@pytest.mark.parametrize(("reason", "code"), [("draining", 1001), ("superseded", 1000)])
def test_close_of_the_node_has_its_code(
    connect: Connect, ws: RawWebsocket, reason: str, code: int
) -> None:
    other = connect()
    other.call("close", {"sid": ws.sid, "reason": reason})
    ws.until_end()
    assert ws.closed_with == code
