"""The websocket parser and encoder against wsproto, with the stream cut anywhere, and against bad peers."""

from __future__ import annotations

import os
import random
import struct
from itertools import pairwise

import pytest
import wsproto
import wsproto.events
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode

from service.protocol import frames
from service.protocol.frames import Control, Fault, Message, Parser

MAX_BYTES = 1 << 20


def masked(first: int, payload: bytes, *, key: bytes | None = None, length: bytes = b"") -> bytes:
    """A client's frame, written with nothing of the code under test."""
    key = os.urandom(4) if key is None else key
    size = len(payload)
    if not length:
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 65536:
            length = b"\xfe" + struct.pack(">H", size)
        else:
            length = b"\xff" + struct.pack(">Q", size)
    return bytes([first]) + length + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def feed(data: bytes, cuts: list[int], max_bytes: int = MAX_BYTES) -> list[Message]:
    """What comes out of a stream that arrives in pieces."""
    parser = Parser(max_bytes)
    found: list[Message] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        found += parser.feed(data[start:end])
    return found


sizes = st.sampled_from([0, 1, 2, 3, 4, 5, 95, 124, 125, 126, 127, 128, 1000, 65535, 65536, 70000])
texts = st.one_of(st.text(max_size=200), st.builds(lambda n: "ü" * (n // 2) + "x" * (n % 2), sizes))
contents = st.one_of(texts, st.builds(os.urandom, sizes))
cuts = st.lists(st.integers(0, 1 << 18), max_size=12)


# --- in, against wsproto


@given(
    st.lists(st.tuples(contents, st.lists(st.integers(0, 1 << 17), max_size=4)), max_size=6), cuts
)
def test_feed_finds_what_wsproto_sent_wherever_the_stream_is_cut(
    messages: list[tuple[str | bytes, list[int]]], cuts: list[int]
) -> None:
    """Texts and binaries, whole and in fragments, with pings between the fragments."""
    client = Connection(ConnectionType.CLIENT)
    stream = b""
    expected: list[Message] = []
    for content, splits in messages:
        edges = [0, *sorted(split % (len(content) + 1) for split in splits), len(content)]
        pieces = list(pairwise(edges))
        for number, (start, end) in enumerate(pieces):
            is_last = number == len(pieces) - 1
            event = wsproto.events.Message(content[start:end], message_finished=is_last)
            stream += client.send(event)
            if not is_last:
                stream += client.send(wsproto.events.Ping(b"between"))
                expected.append(Control(frames.PING, b"between"))
        expected.append(content)
    assert feed(stream, cuts) == expected


@given(st.binary(max_size=400), cuts)
def test_feed_of_any_bytes_agrees_with_itself_however_cut(data: bytes, cuts: list[int]) -> None:
    whole = feed(data, [])
    assert feed(data, cuts) == whole
    assert all(not isinstance(one, Fault) for one in whole[:-1])


@given(
    st.integers(0, 255),
    st.booleans(),
    st.sampled_from([0, 1, 124, 125, 126, 127, 200, 65535, 65536]),
)
def test_feed_refuses_the_frames_that_wsproto_refuses(
    first: int, is_masked: bool, size: int
) -> None:
    """Of a single frame with a payload of ASCII: the same verdict as the reference's server."""
    closes = first & 0x0F == Opcode.CLOSE  # whose content is looked at by `closing_code`
    payload = b"\x03\xe8" + b"x" * (size - 2) if closes and size > 1 else b"x" * size
    data = masked(first, payload)
    if not is_masked:
        head = len(data) - size - 4
        data = data[:1] + bytes([data[1] & 0x7F]) + data[2:head] + payload
    reference = FrameProtocol(client=False, extensions=[])
    reference.receive_bytes(data)
    try:
        verdict = [*reference.received_frames()]
        refused = 0
    except wsproto.frame_protocol.ParseFailed as error:
        verdict, refused = [], int(error.code)
    found = feed(data, [])
    faults = [one for one in found if isinstance(one, Fault)]
    if faults or refused:
        assert bool(faults) == bool(refused) or closes, (found, refused)
        assert closes or faults[0].code == refused
    else:
        assert len(found) == (len(verdict) if first & 0x80 else 0)


# --- out, against wsproto


@given(st.lists(contents, max_size=5), st.binary(max_size=125))
def test_encode_is_what_wsproto_reads(messages: list[str | bytes], ping: bytes) -> None:
    stream = frames.encode(frames.PING, ping)
    for content in messages:
        if isinstance(content, str):
            stream += frames.encode(frames.TEXT, content.encode())
        else:
            stream += frames.encode(frames.BINARY, content)
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(stream)
    events = list(client.events())
    assert isinstance(events[0], wsproto.events.Ping)
    assert bytes(events[0].payload) == ping
    whole: list[str | bytes] = []
    for event in events[1:]:
        assert isinstance(event, wsproto.events.Message)
        whole.append(event.data if isinstance(event.data, str) else bytes(event.data))
    assert whole == messages


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1007, 1009, 1011, 3000, 4999])
def test_close_frame_is_what_wsproto_reads(code: int) -> None:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(frames.close_frame(code, "ü" * 100))
    event = next(iter(client.events()))
    assert isinstance(event, wsproto.events.CloseConnection)
    assert int(event.code) == code
    assert client.state is ConnectionState.REMOTE_CLOSING


def test_close_frame_without_a_code_is_empty() -> None:
    assert frames.close_frame(frames.NO_CODE) == b"\x88\x00"


# --- both sides of ours against each other

#: A piece of a stream: text, binary, or a control frame.
pieces = st.lists(
    st.one_of(
        st.text(max_size=140),
        st.binary(max_size=140),
        st.builds(Control, st.sampled_from([frames.PING, frames.PONG]), st.binary(max_size=125)),
    ),
    max_size=4,
)


def written(messages: list[Message], *, by_client: bool) -> bytes:
    """The stream of one side."""
    stream = b""
    for number, message in enumerate(messages):
        if isinstance(message, Control):
            opcode, payload = message
        elif isinstance(message, str):
            opcode, payload = frames.TEXT, message.encode()
        else:
            assert isinstance(message, bytes)
            opcode, payload = frames.BINARY, message
        if by_client:
            stream += frames.encode_masked(opcode, payload, bytes([number, 255, 0, 128]))
        else:
            stream += frames.encode(opcode, payload)
    return stream


@pytest.mark.parametrize("by_client", [True, False])
@given(messages=pieces)
def test_what_one_side_writes_the_other_reads_cut_at_every_place(
    by_client: bool, messages: list[Message]
) -> None:
    """Whole, in two pieces wherever the cut is, and byte by byte."""
    stream = written(messages, by_client=by_client)
    for place in range(len(stream) + 1):
        parser = Parser(MAX_BYTES, from_client=by_client)
        assert parser.feed(stream[:place]) + parser.feed(stream[place:]) == messages
    parser = Parser(MAX_BYTES, from_client=by_client)
    assert [one for byte in stream for one in parser.feed(bytes([byte]))] == messages
    assert parser.kept_bytes == 0


@pytest.mark.parametrize("by_client", [True, False])
@pytest.mark.parametrize("size", [125, 126, 8191, 8192, 65535, 65536, 200_000])
def test_what_one_side_writes_the_other_reads_at_every_length(by_client: bool, size: int) -> None:
    messages: list[Message] = [os.urandom(size), "x" * size, "ü" * (size // 2)]
    stream = written(messages, by_client=by_client)
    whole = Parser(MAX_BYTES, from_client=by_client)
    assert whole.feed(stream) == messages
    cut = Parser(MAX_BYTES, from_client=by_client)
    found = []
    for start in range(0, len(stream), 997):
        found += cut.feed(stream[start : start + 997])
    assert found == messages


@pytest.mark.parametrize("by_client", [True, False])
def test_each_side_refuses_what_its_own_side_writes(by_client: bool) -> None:
    """A client masks and a server does not (RFC 6455, section 5.1)."""
    for message in ("x", "x" * 200, Control(frames.PING, b"")):
        parser = Parser(MAX_BYTES, from_client=not by_client)
        (fault,) = parser.feed(written([message], by_client=by_client))
        assert isinstance(fault, Fault)
        assert fault.code == frames.PROTOCOL_ERROR


@given(st.lists(contents, max_size=5), cuts)
def test_client_reads_what_wsproto_sends_as_a_server(
    messages: list[str | bytes], cuts: list[int]
) -> None:
    server = Connection(ConnectionType.SERVER)
    stream = b"".join(server.send(wsproto.events.Message(content)) for content in messages)
    parser = Parser(MAX_BYTES, from_client=False)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    found = [one for a, b in pairwise(edges) for one in parser.feed(stream[a:b])]
    assert found == messages


@given(st.lists(contents, max_size=5), st.binary(min_size=4, max_size=4))
def test_encode_masked_is_what_wsproto_reads_as_a_server(
    messages: list[str | bytes], key: bytes
) -> None:
    server = Connection(ConnectionType.SERVER)
    for content in messages:
        is_text = isinstance(content, str)
        payload = content.encode() if isinstance(content, str) else content
        server.receive_data(
            frames.encode_masked(frames.TEXT if is_text else frames.BINARY, payload, key)
        )
    read = []
    for event in server.events():
        assert isinstance(event, wsproto.events.Message)
        read.append(event.data if isinstance(event.data, str) else bytes(event.data))
    assert read == messages


# --- closes


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
    """Before any of its payload is kept."""
    head = b"\x81\xff" + struct.pack(">Q", 1 << 40) + b"keys"
    assert fault_of(head) == frames.TOO_LARGE
    assert fault_of(head[:10]) == frames.TOO_LARGE
    assert fault_of(head[:9]) == 0
    assert fault_of(masked(0x81, b"x" * 1001), 1000) == frames.TOO_LARGE
    assert fault_of(masked(0x81, b"x" * 1000), 1000) == 0


def test_fragments_together_are_bounded_by_the_header_of_the_one_too_many() -> None:
    begun = masked(0x01, b"x" * 600)
    assert fault_of(begun + masked(0x00, b"x" * 400), 1000) == 0
    assert fault_of(begun + masked(0x00, b"x" * 401)[:8], 1000) == frames.TOO_LARGE


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


@given(st.binary(min_size=4, max_size=4), st.one_of(st.binary(max_size=100), sizes.map(os.urandom)))
def test_apply_mask_is_xor_with_the_repeated_key(key: bytes, data: bytes) -> None:
    expected = bytes(byte ^ key[i % 4] for i, byte in enumerate(data))
    assert bytes(frames.apply_mask(key, data)) == expected
    assert bytes(frames.apply_mask(key, expected)) == data


def test_many_messages_in_one_piece_and_pieces_of_any_size() -> None:
    """A seeded stream of 5,000 messages, read as sockets deliver: some hundred bytes at a time."""
    chance = random.Random(7)
    messages = ["x" * chance.choice([0, 3, 90, 130, 9000]) + str(n) for n in range(5000)]
    stream = b"".join(
        masked(0x81, text.encode(), key=b"\x01\x80\xff\x00") for text in messages[:500]
    )
    assert feed(stream, [chance.randrange(len(stream)) for _ in range(3000)]) == messages[:500]
