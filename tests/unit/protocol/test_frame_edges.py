"""Lengths of frames at their edges: the longest of each kind passes, one byte more or written longer does not."""

from __future__ import annotations

import pytest

from service.protocol import frames
from service.protocol.frames import Control, Fault, Parser

KEY = b"\0\0\0\0"


def frame(first: int, size: int, written_in: int) -> bytes:
    """A frame of a client with a payload of so many bytes, whose length is written in so many of its own."""
    marker = {0: size, 2: 126, 8: 127}[written_in]
    length = size.to_bytes(written_in, "big") if written_in else b""
    return bytes((first, 0x80 | marker)) + length + KEY + b"x" * size


@pytest.mark.parametrize(
    ("size", "written_in", "passes"),
    [(125, 0, True), (125, 2, False), (126, 2, True), (65_535, 2, True), (65_535, 8, False),
     (65_536, 8, True)],
)  # fmt: skip
def test_length_is_written_as_short_as_it_can_be(size: int, written_in: int, passes: bool) -> None:
    found = Parser(1 << 20).feed(frame(0x80 | frames.TEXT, size, written_in))
    if passes:
        assert found == ["x" * size]
    else:
        assert [one.code for one in found if isinstance(one, Fault)] == [frames.PROTOCOL_ERROR]


@pytest.mark.parametrize("opcode", [frames.PING, frames.PONG, frames.CLOSE])
def test_control_frame_has_125_bytes_and_no_more(opcode: int) -> None:
    assert Parser(1 << 20).feed(frame(0x80 | opcode, 125, 0)) == [Control(opcode, b"x" * 125)]
    for size, written_in in ((126, 2), (70_000, 8)):
        found = Parser(1 << 20).feed(frame(0x80 | opcode, size, written_in))
        assert [one.code for one in found if isinstance(one, Fault)] == [frames.PROTOCOL_ERROR]
        assert not any(isinstance(one, Control) for one in found)


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_message_is_bounded_as_a_whole_however_it_comes(pieces: int) -> None:
    """Exactly as much as it may have passes; one byte more does not, in whichever piece."""
    for extra in (0, 1):
        parser = Parser(300)
        sizes = [300 // pieces] * pieces
        sizes[-1] += 300 - sum(sizes) + extra
        found = []
        for place, size in enumerate(sizes):
            opcode = frames.TEXT if place == 0 else 0
            final = 0x80 if place == pieces - 1 else 0
            found += parser.feed(frame(final | opcode, size, 2 if size > 125 else 0))
        faults = [one.code for one in found if isinstance(one, Fault)]
        assert faults == ([frames.TOO_LARGE] if extra else [])


def test_nothing_is_read_after_a_violation() -> None:
    parser = Parser(300)
    parser.feed(frame(0x80 | 0x3, 1, 0))
    assert parser.feed(frame(0x80 | frames.TEXT, 1, 0)) == []


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f" + (65_536).to_bytes(8, "big")),
    ],
)
def test_length_of_what_is_sent_is_written_as_short_as_it_can_be(size: int, head: bytes) -> None:
    payload = b"x" * size
    assert frames.encode(frames.TEXT, payload) == head + payload
