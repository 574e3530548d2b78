"""The websocket parser against bad peers: what is refused, with which code, and what stays bounded."""

from __future__ import annotations

import random
import struct

import pytest
from wsproto.frame_protocol import CloseReason

from service.protocol import frames
from service.protocol.frames import Control, Fault, Parser
from tests.support.clients.frame_bytes import MAX_BYTES, feed, masked


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4999])
def test_closing_code_takes_codes_that_peers_may_send(code: int) -> None:
    assert frames.closing_code(struct.pack(">H", code) + "grüß".encode()) == code
    assert CloseReason.NORMAL_CLOSURE == 1000


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000])
def test_closing_code_refuses_codes_that_never_go_over_the_wire(code: int) -> None:
    fault = frames.closing_code(struct.pack(">H", code))
    assert isinstance(fault, Fault)
    assert fault.code == frames.PROTOCOL_ERROR


def test_closing_code_of_odd_payloads() -> None:
    assert frames.closing_code(b"") == frames.NO_CODE
    half, bad = frames.closing_code(b"\x03"), frames.closing_code(b"\x03\xe8\xff")
    assert isinstance(half, Fault)
    assert isinstance(bad, Fault)
    assert (half.code, bad.code) == (frames.PROTOCOL_ERROR, frames.BAD_DATA)


# --- the cases of the Autobahn suite that concern a parser

UTF8 = "κόσμε".encode()
BAD_UTF8 = UTF8 + b"\xed\xa0\x80" + b"edited"


def fault_of(data: bytes, max_bytes: int = MAX_BYTES) -> int:
    found = feed(data, [], max_bytes)
    return found[-1].code if found and isinstance(found[-1], Fault) else 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(masked(0x89, b"x" * 126), 1002, id="2.5 ping of 126 bytes"),
        *(
            pytest.param(masked(0x81 | rsv, b"x"), 1002, id=f"3.{n} reserved bits")
            for n, rsv in enumerate((0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70), 1)
        ),
        *(
            pytest.param(masked(0x80 | opcode, b"x"), 1002, id=f"4 opcode {opcode}")
            for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        ),
        pytest.param(masked(0x09, b"x"), 1002, id="5.1 fragmented ping"),
        pytest.param(masked(0x0A, b"x"), 1002, id="5.2 fragmented pong"),
        pytest.param(masked(0x80, b"x"), 1002, id="5.9 continuation of nothing"),
        pytest.param(masked(0x00, b"x"), 1002, id="5.11 fragment of nothing"),
        pytest.param(masked(0x01, b"x") + masked(0x81, b"y"), 1002, id="5.18 text in a text"),
        pytest.param(
            masked(0x01, b"x") + masked(0x80, b"y") + masked(0x80, b"z"), 1002, id="5.12 one more"
        ),
        pytest.param(masked(0x81, BAD_UTF8), 1007, id="6.3 surrogate"),
        pytest.param(masked(0x81, b"\xf4\x90\x80\x80"), 1007, id="6.4 beyond Unicode"),
        pytest.param(masked(0x81, b"\xc0\xaf"), 1007, id="6.6 overlong"),
        pytest.param(masked(0x81, UTF8[:-1]), 1007, id="6.6 cut off"),
        pytest.param(masked(0x01, UTF8) + masked(0x80, b"\xff"), 1007, id="6.3 in fragments"),
        pytest.param(b"\x81\x01x", 1002, id="not masked"),
        pytest.param(b"\x81\xfe\x00", 0, id="half a header says nothing yet"),
        pytest.param(masked(0x81, b"x" * 5, length=b"\xfe\x00\x05"), 1002, id="length too long"),
        pytest.param(
            masked(0x81, b"x" * 200, length=b"\xff" + struct.pack(">Q", 200)),
            1002,
            id="and 64 bits",
        ),
        pytest.param(b"\x81\xff" + b"\xff" * 8 + b"keys", 1002, id="length of 64 bits"),
    ],
)
def test_fault_of_the_peer_has_its_code(data: bytes, code: int) -> None:
    assert fault_of(data) == code
    for one in range(len(data)):
        assert fault_of(data[:one]) in (0, code)


@pytest.mark.parametrize("cut", [1, 2])
def test_utf8_may_be_cut_between_fragments(cut: int) -> None:
    """Autobahn 6.2: a character may span fragments, even one byte in each."""
    stream = b"".join(
        masked(0x01 if not n else 0x00, UTF8[n : n + cut]) for n in range(0, len(UTF8), cut)
    )
    assert feed(stream + masked(0x80, b""), []) == ["κόσμε"]


def test_control_frames_may_come_between_and_messages_may_be_empty() -> None:
    """Autobahn 1.1.1, 2.x, 5.3–5.8."""
    stream = (
        masked(0x81, b"")
        + masked(0x82, b"")
        + masked(0x01, b"")
        + masked(0x89, b"x" * 125)
        + masked(0x00, b"a")
        + masked(0x8A, b"")
        + masked(0x80, b"")
        + masked(0x88, b"\x03\xe8")
    )
    expected = ["", b"", Control(9, b"x" * 125), Control(10, b""), "a", Control(8, b"\x03\xe8")]
    assert feed(stream, []) == expected
    assert feed(stream, list(range(len(stream)))) == expected


def test_messages_before_a_fault_are_delivered_and_nothing_after_it() -> None:
    parser = Parser(MAX_BYTES)
    first, fault = parser.feed(masked(0x81, b"good") + masked(0x83, b"bad") + masked(0x81, b"x"))
    assert first == "good"
    assert isinstance(fault, Fault)
    assert parser.feed(masked(0x81, b"again")) == []
    assert parser.kept_bytes == 0


# --- bounds


def test_a_message_that_is_too_long_is_refused_by_its_header_alone() -> None:
    """Before any of its payload is kept; of a text its beginning is waited for."""
    size = struct.pack(">Q", 1 << 40)
    assert fault_of(b"\x82\xff" + size) == frames.TOO_LARGE
    assert fault_of(b"\x82\xff" + size[:7]) == 0
    head = b"\x81\xff" + size + b"keys" + b"x" * frames.START_BYTES
    assert fault_of(head) == frames.TOO_LARGE
    assert fault_of(head[:-1]) == 0
    assert fault_of(masked(0x81, b"x" * 1001), 1000) == frames.TOO_LARGE
    assert fault_of(masked(0x81, b"x" * 1000), 1000) == 0


def test_fragments_together_are_bounded_by_the_header_of_the_one_too_many() -> None:
    begun = masked(0x01, b"x" * 600)
    assert fault_of(begun + masked(0x00, b"x" * 400), 1000) == 0
    assert fault_of(begun + masked(0x00, b"x" * 401)[:9], 1000) == frames.TOO_LARGE


@pytest.mark.parametrize("sizes", [[2000], [100, 1901], [1, 0, 1999], [999, 2], [300, 1700]])
def test_of_a_text_that_is_too_long_the_beginning_is_told(sizes: list[int]) -> None:
    text = b"431[" + bytes(range(32, 127)) * 30
    parser, stream, place = Parser(1000), b"", 0
    for number, size in enumerate(sizes):
        last = 0x80 if number == len(sizes) - 1 else 0
        piece, place = text[place : place + size], place + size
        stream += masked(last | (0 if number else 0x01), piece)
    found = [one for byte in stream for one in parser.feed(bytes([byte]))]
    assert [type(one) for one in found] == [Fault]
    assert found[0].start == text[: frames.START_BYTES]


def test_client_ends_at_the_header_of_a_text_that_is_too_long() -> None:
    """It has no use for the beginning, which may never come."""
    header = frames.encode(0x01, b"x" * 2000)[:4]
    [found] = Parser(1000, from_client=False).feed(header)
    assert isinstance(found, Fault)
    assert found.code == frames.TOO_LARGE


def test_empty_fragments_without_end_keep_nothing() -> None:
    parser = Parser(1000)
    parser.feed(masked(0x01, b"x"))
    for _ in range(10_000):
        parser.feed(masked(0x00, b""))
    assert parser.kept_bytes == 1


def test_nothing_is_kept_between_messages() -> None:
    parser = Parser(MAX_BYTES)
    assert parser.feed(masked(0x81, b"x" * 70_000)) == ["x" * 70_000]
    assert parser.kept_bytes == 0


def test_a_large_message_byte_by_byte_costs_what_its_length_costs() -> None:
    """Not its square: a client cannot keep the node busy by sending slowly."""
    size = 300_000
    data = masked(0x81, b"x" * size)
    parser = Parser(MAX_BYTES)
    found = [one for byte in data for one in parser.feed(bytes([byte]))]
    assert found == ["x" * size]


def test_many_messages_in_one_piece_and_pieces_of_any_size() -> None:
    """A seeded stream of 5,000 messages, read as sockets deliver: some hundred bytes at a time."""
    chance = random.Random(7)
    messages = ["x" * chance.choice([0, 3, 90, 130, 9000]) + str(n) for n in range(5000)]
    stream = b"".join(
        masked(0x81, text.encode(), key=b"\x01\x80\xff\x00") for text in messages[:500]
    )
    assert feed(stream, [chance.randrange(len(stream)) for _ in range(3000)]) == messages[:500]
