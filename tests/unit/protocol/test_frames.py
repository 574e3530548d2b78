"""The websocket parser and encoder against wsproto and each other, with the stream cut anywhere."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
import wsproto
import wsproto.events
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import FrameProtocol, Opcode

from service.protocol import frames
from service.protocol.frames import Control, Fault, Message, Parser, one_character
from tests.support.clients.frame_bytes import MAX_BYTES, feed, masked

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


@given(st.binary(max_size=3), st.lists(st.binary(max_size=130)))
def test_several_texts_are_encoded_as_one_by_one(head: bytes, payloads: list[bytes]) -> None:
    each = [frames.encode(frames.TEXT, head + payload) for payload in payloads]
    assert frames.encode_texts(head, payloads) == b"".join(each)


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


@given(st.binary(min_size=4, max_size=4), st.one_of(st.binary(max_size=100), sizes.map(os.urandom)))
def test_apply_mask_is_xor_with_the_repeated_key(key: bytes, data: bytes) -> None:
    expected = bytes(byte ^ key[i % 4] for i, byte in enumerate(data))
    assert bytes(frames.apply_mask(key, data)) == expected
    assert bytes(frames.apply_mask(key, expected)) == data


@pytest.mark.parametrize("first", [0x81, 0x01, 0x82, 0x89, 0x8A, 0xC1])
@pytest.mark.parametrize("second", [0x81, 0x01, 0x80, 0x82])
def test_one_character_is_what_the_parser_reads(first: int, second: int) -> None:
    """Where it reads anything else, or more, this reads nothing."""
    for character in range(256):
        data = bytes((first, second, 1, 2, 3, 4, character ^ 1))
        messages = Parser(1000).feed(data)
        found = one_character(data)
        is_one = first == second == 0x81 and character < 128
        assert [found] == messages if is_one else found == "", (data, messages)


def test_parser_is_between_messages_only_there() -> None:
    """With the beginning of a frame, in the fragments of a message, and after a fault it is not."""
    parser, whole = Parser(1000), masked(0x81, b"ab")
    assert parser.is_between
    assert parser.feed(whole[:4]) == []
    assert not parser.is_between
    assert parser.feed(whole[4:]) == ["ab"]
    assert parser.is_between
    parser.feed(masked(0x01, b"ab"))
    assert not parser.is_between
    parser.feed(masked(0x80, b"c"))
    assert parser.is_between
    parser.feed(masked(0x83, b"c"))
    assert not parser.is_between
