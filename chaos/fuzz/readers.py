"""The two readers of what devices send: what is read in C comes to the same end as what is read in Python."""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

import hatch_build
from chaos.fuzz.one_socket import MAX_VALUE_BYTES, SESSION, Socket, reader_of
from chaos.fuzz.standins import MAX_BYTES, NOW_S
from chaos.fuzz.target import Target
from service.live.ingest.pending import PendingUpdates, cost_of_all, entries_of
from service.live.ownership.owned import OwnedSession
from service.native import Reader, Updates, find_native, one_by_one
from service.protocol import frames
from service.schema.integers import check_integers
from service.schema.samples import parse_update
from service.sockets.rate_limits import Limits

KEY = b"\x11\x22\x33\x44"
#: What `append` answers of a part.
WORDS = ("ok", "conflict", "missing", "too_large", "too_many_keys", "stale")


def compare_ends(reader: Reader, pieces: Sequence[bytes], **options: Any) -> None:
    """Check that the same comes of these pieces with and without the module in C.

    Raises:
        AssertionError: names what differs.
    """
    ends = []
    for one in (None, reader):
        socket = Socket(one, **options)
        socket.feed(pieces)
        ends.append(socket.end())
    python, native = ends
    different = {
        name: (python[name], native[name]) for name in python if python[name] != native[name]
    }
    assert not different, f"in Python and in C: {different}"


def compare_messages(reader: Reader, pieces: Sequence[bytes]) -> int:
    """Check that both parsers return the same messages, and that what was read in C is what Python makes of it.

    Returns:
        How many events were read in C.
    """
    python, native = frames.Parser(MAX_BYTES), reader.parser()
    owner = object()
    native.origin = (owner, orjson.dumps(SESSION))
    count = 0
    for piece in pieces:
        wanted, found = python.feed(piece), native.feed(piece)
        assert one_by_one(found) == wanted, f"{one_by_one(found)} is not {wanted}"
        assert python.kept_bytes == native.kept_bytes
        for one in found:
            if isinstance(one, Updates):
                assert one.owner is owner
                _check_updates(one)
                count += one.events
    return count


def _check_updates(updates: Updates) -> None:
    """Compare them, one by one and joined, with what `Dispatcher` and `Devices` make of their texts."""
    texts = [str(text) for text in updates.texts()]
    entries = entries_of(updates)
    assert len(texts) == len(entries) == updates.events > 0
    seq = updates.first_seq
    text_bytes = 0
    joined = PendingUpdates(OwnedSession(SESSION, "sid", 0, 1), seq)
    for text, (update, ack_id) in zip(texts, entries, strict=True):
        head, _, body = text.partition("[")
        assert head == ("42" if ack_id is None else head), head
        assert ack_id == (int(head[2:]) if head[2:] else None)
        name, payload = orjson.loads(f"[{body}")
        assert name == "update_data"
        for field in ("device_id", "session_id"):
            assert payload.get(field) in (None, SESSION)
        check_integers(f"[{body}")
        wanted = parse_update(payload, NOW_S, MAX_VALUE_BYTES)
        assert update == wanted, f"{update} is not {wanted}"
        assert update.seq == (seq or None), f"{update.seq} after {seq}"
        seq += bool(seq)
        text_bytes += len(f"[{body}".encode())
        joined.add(update, ack_id)
    assert updates.text_bytes == text_bytes
    cost = cost_of_all(updates)
    assert cost == joined.cost
    at_once = PendingUpdates(joined.owned, updates.first_seq)
    at_once.add_all(updates, cost)
    assert (at_once.part(), at_once.acks) == (joined.part(), joined.acks)


# -- the target -----------------------------------------------------------------------------


def stream_of(data: bytes) -> bytes:
    """Return the bytes that a client sends: each line as a text frame, or, behind `!`, as it is."""
    return b"".join(
        line[1:] if line[:1] == b"!" else frames.encode_masked(frames.TEXT, line, KEY)
        for line in data.split(b"\n")
    )


@functools.cache
def reader() -> Reader:
    """Return what reads in C: what is installed, or what the sources here give."""
    native = find_native("auto")
    if native is None:
        with tempfile.TemporaryDirectory() as folder:
            built = Path(folder, hatch_build.BUILT.name)
            hatch_build.compile_reader(Path(hatch_build.__file__).parent, built)
            native = hatch_build.load_reader(built)
    return reader_of(native)


def fuzz_readers(data: bytes) -> None:
    """Give both the same bytes, whole and cut somewhere, with limits that matter and without."""
    chance = random.Random(data)
    stream = stream_of(data)[: 1 << 16]
    cut = chance.randint(0, len(stream))
    pieces = [stream] if chance.random() < 0.3 else [stream[:cut], stream[cut:]]
    compare_messages(reader(), pieces)
    events_per_s, bytes_per_s = chance.choice(((0, 0), (3, 1 << 20), (1000, 200), (1000, 1 << 20)))
    limits = Limits(events_per_s=events_per_s, bytes_per_s=bytes_per_s)
    last_seq, most = chance.choice((0, 0, 6)), chance.choice((32 << 20, 3000))
    words = chance.choices(WORDS, k=chance.choice((0, 0, 1, 6)))
    options: dict[str, Any] = {"limits": limits, "last_seq": last_seq, "max_buffer_bytes": most}
    compare_ends(reader(), pieces, **options, words=words)


_UPDATE = b'["update_data",{"device_id":"device-00001","key":"metric_1","value":{"t":1764447013123456,"v":7}}]'
_CORPUS = (
    b"42%b\n421%b\n42%b" % (_UPDATE, _UPDATE, _UPDATE),
    b'427["update_data", {"key": "speed", "value": 21.50, "ts": 1795163523.5}]\n42["ping",{}]\n42%b'
    % _UPDATE,
    b"\n".join(
        (
            b'420["update_data",{"data":{"speed":212.4,"gear":6,"on":true,"x":null},"seq":1}]',
            b'421["update_data",{"data":{"speed":0.00012,"name":"\xc3\xa4"},"seq":2}]',
            b'422["update_data",{"data":{"speed":-1},"seq":2}]',
            b'423["update_data",{"data":{"speed":1},"seq":7}]',
        )
    ),
    b'42["update_data",{"samples":[["a",1,1795163523.5],["b",[1,[2,{"c":"d"}]]],["a",0.1]]}]',
    b'424["wait",{}]\n425%b\n426["lose",{}]\n427%b' % (_UPDATE, _UPDATE),
    b'428["update_data",{"key":"k","value":1}]\n!\x89\x81\x11\x22\x33\x44\x00\n42%b' % _UPDATE,
    b'42["forbid"]\n42%b\n42["hold"]\n42%b' % (_UPDATE, _UPDATE),
    b"2\n3\n41\n42%b" % _UPDATE,
    # what looks like a long integer, in a key
    b'42["update_data",{"key":"k %b","value":{"t":1764447013123456}}]' % (b"1" * 30),
    b"!\x01\x82\x11\x22\x33\x44\x25\x10\n!\x80\x82\x11\x22\x33\x44\x4a\x7f\n42" + _UPDATE,
)
_WORDS = (
    *(
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b"[[[[[[[[[[",
        b'"key":',
        b'"seq":',
        b'"ts":',
        b'"data":{',
        b"\\u0000",
    ),
    *(
        b"\\ud800",
        b"\xe2\x80\x8b",
        b"\xff",
        b'"device_id":"x",',
        b'"session_id":"device-00001",',
        b"-0.0",
        b"1E400",
    ),
    *(
        b"NaN",
        b" ",
        b"\t",
        b"\r",
        b"1.10",
        b"0.1234567890123456789",
        b"123456789012345678",
        b"1e5",
        b"-0",
        b"\x00",
    ),
    *(
        b'"update_data"',
        b"\n42",
        b"\n4212",
        b"\n!\x81\xfe",
        b'"samples":[[',
        b',"seq":3',
        b"\\n",
        b"9999999999999999.5",
    ),
)
READERS = Target(_CORPUS, _WORDS, fuzz_readers)
