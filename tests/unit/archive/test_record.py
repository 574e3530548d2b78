"""Records: what goes in comes out, what is not entirely right is refused, names never collide."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.archive import record as records
from service.archive.errors import BadRecord, RecordTooLarge
from service.archive.names import age_order, name_of, new_capture, parse_name, stem_of
from service.archive.record import Record, decode, encode, read_header, zstd

FORMATS = Path(__file__).parents[2] / "fixtures" / "archive"

ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=256).filter(
    lambda text: len(text.encode()) <= 256
)
numbers = st.integers(min_value=0, max_value=2**53)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc\n\0é"), inner),
    max_leaves=12,
)


def make(session_id: str = "pump-7", body: dict | None = None, rev: int = 42) -> Record:
    return Record(
        session_id,
        1_763_600_000_000,
        rev,
        1_763_600_500_000,
        {"session_name": "Pump 7", "rev": str(rev)},
        {"data": {"speed": [[1.5, 1763600000.25]]}} if body is None else body,
    )


def frame(text: bytes, *, checksum: bool = True) -> bytes:
    """A file of this text with a right trailer, as a forger would make it."""
    options = {zstd.CompressionParameter.checksum_flag: int(checksum)}
    packed = zstd.compress(text, options=options)
    return packed + records._TRAILER_HEAD + hashlib.sha256(packed).digest()


def forge(body: bytes = b"{}", **fields: object) -> bytes:
    """A file with these fields in its header; None leaves one out."""
    header = {
        "format": 1,
        "session_id": "pump-7",
        "generation": 1,
        "rev": 2,
        "archived_at_ms": 3,
        "summary": {},
        "body_sha256": hashlib.sha256(body).hexdigest(),
        **fields,
    }
    kept = {name: value for name, value in header.items() if value is not None}
    return frame(orjson.dumps(kept) + b"\n" + body + b"\n")


# --- there and back


@given(
    ids,
    numbers,
    numbers,
    st.dictionaries(st.text("abc_"), st.text(st.characters(exclude_categories=["Cs"]))),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=5),
)
def test_decode_any_record_is_what_was_encoded(session_id, generation, rev, summary, body):
    record = Record(session_id, generation, rev, 7, summary, body)
    data = encode(record)

    assert decode(data, record.name) == record
    header = read_header(data, record.name)
    assert (header.session_id, header.generation, header.rev) == (session_id, generation, rev)
    assert header.summary == summary
    assert header.archived_at_ms == 7


@pytest.mark.parametrize("level", [-5, 1, 3, 9, 19])
def test_encode_at_any_level_is_read_without_knowing_it(level):
    assert decode(encode(make(), level)) == make()


def test_encode_body_with_ready_json_is_spliced():
    """Histories are JSON in Redis already; they need not be decoded to be archived."""
    body = {"data": {"speed": [orjson.Fragment(b"[1,2.5]"), orjson.Fragment(b'["x",3]')]}}

    assert decode(encode(make(body=body))).body == {"data": {"speed": [[1, 2.5], ["x", 3]]}}


def test_encode_is_two_lines_of_json_for_any_zstd_tool():
    """Somebody without Muster reads an archive with `zstd -dc`: trailer and all."""
    text = zstd.decompress(encode(make()))

    header, body = text.splitlines()
    assert json.loads(header)["session_id"] == "pump-7"
    assert json.loads(body) == make().body


def test_encode_larger_than_a_record_may_be_is_refused(monkeypatch):
    monkeypatch.setattr(records, "MAX_TEXT_BYTES", 1000)

    with pytest.raises(RecordTooLarge):
        encode(make(body={"x": "y" * 1000}))


@pytest.mark.parametrize("path", sorted(FORMATS.glob("format-*.json.zst")), ids=lambda p: p.stem)
def test_decode_every_format_ever_written_still_works(path):
    """An archive is read for ever. Fixtures are never changed, only added."""
    expected = json.loads(path.with_suffix("").with_suffix(".expected.json").read_text("utf-8"))

    record = decode(path.read_bytes(), expected["name"])

    assert record.session_id == expected["session_id"]
    assert (record.generation, record.rev) == (expected["generation"], expected["rev"])
    assert record.archived_at_ms == expected["archived_at_ms"]
    assert record.summary == expected["summary"]
    assert record.body == expected["body"]
    assert read_header(path.read_bytes()).summary == expected["summary"]


def test_formats_have_a_fixture_each():
    assert [p.name for p in sorted(FORMATS.glob("*.zst"))] == [
        f"format-{n}.json.zst" for n in range(1, records.FORMAT + 1)
    ]


# --- wrong content


def small_and_large() -> list[bytes]:
    """A file of one block, and one of several with Huffman tables and padding."""
    chooser = random.Random(7)
    samples = [[chooser.random(), 1763600000 + n] for n in range(400)]
    return [encode(make()), encode(make(body={"data": {"t": samples}}))]


@pytest.mark.parametrize("data", small_and_large(), ids=["small", "large"])
def test_decode_any_bit_flipped_is_refused(data):
    """Also bits that zstd itself does not look at. Every bit of the small one, many of the other."""
    every = 1 if len(data) < 500 else 23
    for bit in range(0, len(data) * 8, every):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        for read in (decode, read_header):
            with pytest.raises(BadRecord):
                read(bytes(damaged))


@pytest.mark.parametrize("data", small_and_large(), ids=["small", "large"])
def test_decode_cut_at_any_byte_is_refused(data):
    for length in range(0, len(data), 1 if len(data) < 500 else 11):
        for read in (decode, read_header):
            with pytest.raises(BadRecord):
                read(data[:length])


def test_decode_anything_appended_is_refused():
    for more in (b"\0", b"\n", encode(make())):
        with pytest.raises(BadRecord):
            decode(encode(make()) + more)


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x28\xb5\x2f\xfd")
@example(b'{"format": 1}')
def test_decode_any_bytes_are_refused_not_a_crash(data):
    for read in (decode, read_header):
        with pytest.raises(BadRecord):
            read(data)


@given(st.binary(max_size=200))
def test_decode_any_text_in_a_right_frame_is_refused_not_a_crash(text):
    for read in (decode, read_header):
        with pytest.raises(BadRecord):
            read(frame(text))


@pytest.mark.parametrize(
    "data",
    [
        forge(format=2),
        forge(format=0),
        forge(format=True),
        forge(format="1"),
        forge(format=None),
        forge(session_id=None),
        forge(session_id=""),
        forge(session_id=7),
        forge(generation=-1),
        forge(generation=1.5),
        forge(rev="2"),
        forge(rev=True),
        forge(archived_at_ms=None),
        forge(summary=[]),
        forge(summary={"rev": 2}),
        forge(body_sha256=None),
        frame(b"[]\n{}\n"),
        frame(b"\n{}\n"),
        frame(b"{}"),
        frame(b'{"format":1' + b" " * records.MAX_HEADER_BYTES + b"}\n{}\n"),
    ],
)
def test_decode_wrong_header_is_refused(data):
    for read in (decode, read_header):
        with pytest.raises(BadRecord):
            read(data)


@pytest.mark.parametrize(
    "data",
    [
        forge(b"[]"),
        forge(b"null"),
        forge(b"{"),
        forge(b'{"a":NaN}'),
        forge(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
        forge(b"{}", body_sha256="0" * 64),
        forge(b"{}")[:-1] + b"\0",
    ],
)
def test_decode_wrong_body_is_refused(data):
    with pytest.raises(BadRecord):
        decode(data)


def test_decode_bomb_is_refused_before_it_unpacks(monkeypatch):
    """A few kilobytes that would become a gigabyte: the size is told by the frame, checked first."""
    bomb = frame(b"\0" * (64 * 1024 * 1024))
    monkeypatch.setattr(records, "MAX_TEXT_BYTES", 1024 * 1024)
    monkeypatch.setattr(zstd, "ZstdDecompressor", None)  # whoever unpacks fails
    assert len(bomb) < 10_000

    for read in (decode, read_header):
        with pytest.raises(BadRecord, match="longer than a record"):
            read(bomb)


def test_decode_frame_without_a_size_is_refused():
    """Only encode writes records, and it always tells the size."""
    compressor = zstd.ZstdCompressor()
    packed = compressor.compress(b"{}\n{}\n") + compressor.flush()
    data = packed + records._TRAILER_HEAD + hashlib.sha256(packed).digest()

    with pytest.raises(BadRecord, match="unknown length"):
        decode(data)


def test_decode_under_another_name_is_refused():
    """A file copied over another session's, or over another rev's, is not taken for it."""
    data = encode(make(rev=42))

    for name in (name_of("pump-8", 1_763_600_000_000, 42), make(rev=43).name):
        with pytest.raises(BadRecord, match="another name"):
            decode(data, name)
        with pytest.raises(BadRecord, match="another name"):
            read_header(data, name)


def test_read_header_of_a_long_record_unpacks_its_beginning_only(monkeypatch):
    chooser = random.Random(3)
    data = encode(make(body={"x": [chooser.random() for _ in range(100_000)]}))
    unpacked = 0

    class Counting:
        def __init__(self) -> None:
            self._inner = zstd_decompressor()

        def decompress(self, *args: object, **options: object) -> bytes:
            nonlocal unpacked
            text = self._inner.decompress(*args, **options)
            unpacked += len(text)
            return text

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

    zstd_decompressor = zstd.ZstdDecompressor
    monkeypatch.setattr(zstd, "ZstdDecompressor", Counting)

    assert read_header(data).session_id == "pump-7"
    assert unpacked <= 8192


# --- names


captures = st.just("") | st.integers(0, 10**14).map(new_capture)


@given(ids, numbers, numbers, captures)
@example("../../etc/passwd", 1, 2, "")
@example("a/b", 1, 2, "")
@example("CON", 0, 0, "")
@example(".", 0, 0, "")
@example("x~1-2.json.zst", 0, 0, "")
@example("%41", 0, 0, "")
@example("x" * 200, 2**53 - 1, 2**53 - 1, new_capture(1))
@example("\U0001f600" * 64, 9, 9, "")
def test_name_of_any_id_is_one_safe_path_that_tells_it(session_id, generation, rev, capture):
    name = name_of(session_id, generation, rev, capture)

    folder, _, entry = name.partition("/")
    assert len(folder) == 4
    assert folder == hashlib.sha256(session_id.encode()).hexdigest()[:4]
    assert len(entry) <= 255
    assert entry.isascii()
    assert set(entry) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_%~.")
    assert not entry.startswith(".")
    parsed = parse_name(name)
    assert (parsed.generation, parsed.rev, parsed.capture) == (generation, rev, capture)
    assert parsed.session_id in (session_id, None)
    assert (parsed.session_id is None) == (len(entry.partition("~")[0]) == 0)


@given(ids, ids)
@example("Pump", "pump")
@example("%41", "A")
@example("é", "e\u0301")
@example("ß", "SS")
@example("x" * 201, "X" * 201)
def test_name_of_two_ids_differs_also_where_case_does_not_count(one, other):
    first, second = name_of(one, 1, 1), name_of(other, 1, 1)

    assert (first.casefold() == second.casefold()) == (one == other)
    if one != other:
        assert not first.startswith(stem_of(other))


@given(ids.filter(lambda text: len(text) < 100), st.integers(0, 99), st.integers(0, 99))
def test_name_of_digest_like_ids_is_no_digest_name(session_id, generation, rev):
    """Nobody can choose an id that takes the name of an over-long one."""
    long = "x" * 256
    chosen = "~" + hashlib.sha256(long.encode()).hexdigest()

    assert name_of(chosen, generation, rev) != name_of(long, generation, rev)
    assert parse_name(name_of(long, generation, rev)).session_id is None
    assert parse_name(name_of(chosen, generation, rev)).session_id == chosen


@pytest.mark.parametrize(
    "name",
    [
        "",
        "pump-7~1-2.json.zst",
        "0000/pump-7~1-2.json.zst",
        make().name.upper(),
        make().name + "x",
        make().name.replace(".zst", ""),
        name_of("pump-7", 1, 2).replace("~1-2", "~01-2"),
        name_of("pump-7", 1, 2).replace("~1-2", "~1"),
        name_of("pump-7", 1, 2).replace("pump-7", "%70ump-7"),
        name_of("pump-7", 1, 2).replace("pump-7", "%ff"),
        name_of("pump-7", 1, 2).replace("pump-7", "../pump-7"),
        "0000/~" + "1" * 64 + "~1-2.json.zst",
        "tmp/" + "0" * 32,
    ],
)
def test_parse_name_that_name_of_never_makes_is_refused(name):
    with pytest.raises(BadRecord):
        parse_name(name)


def test_age_order_is_by_number_not_by_text():
    """Rev 10 is newer than rev 9, and a later generation than any rev of an earlier one.

    Of two at one rev the one that was read later is newer, and one of an earlier version the oldest.
    """
    early, late = new_capture(1_763_600_000_000), new_capture(1_763_600_001_000)
    ordered = [(1, 9, ""), (1, 10, ""), (1, 10, early), (1, 10, late), (2, 1, early), (10, 0, "")]
    names = [name_of("d", *ages) for ages in reversed(ordered)]

    assert [age_order(name) for name in sorted(names, key=age_order)] == ordered
