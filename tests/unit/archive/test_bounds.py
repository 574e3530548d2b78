"""A small file cannot become much in memory, and what is written can always be read."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest

from service.archive import bounds
from service.archive.errors import BadRecord
from service.archive.record import decode, encode, read_header
from tests.unit.archive.test_record import forge, make

MIB = 1 << 20
#: What each begins with, what it repeats so often, and what it ends with.
BOMBS = {
    "text": (b'{"a":"', b"a", 40 * MIB, b'"}'),
    "spaces": (b'{"a":0', b" ", 40 * MIB, b"}"),
    "lists": (b'{"a":[', b"[],", 5 * MIB, b"0]}"),
    "objects": (b'{"a":[', b"{},", 5 * MIB, b"0]}"),
    "numbers": (b'{"a":[', b"1.5,", 6 * MIB, b"0]}"),
    "fields": (b"{", b'"":0,', 6 * MIB, b'"a":0}'),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_small_file_does_not_become_much_in_memory(kind: str) -> None:
    begin, repeated, count, end = BOMBS[kind]
    data = forge(begin + repeated * count + end)
    assert len(data) < 8192
    tracemalloc.start()
    try:
        with pytest.raises(BadRecord):
            decode(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * bounds.SMALL_TEXT_BYTES


@pytest.mark.parametrize(
    ("sample", "count"),
    [(["x" * 65_536, 1.5], 640), ([1, 5], 1_100_000)],
    ids=["long values that are alike", "many samples that are alike"],
)
def test_session_that_compresses_too_well_is_written_so_that_it_can_be_read(
    sample: list[Any], count: int
) -> None:
    body = {"data": {"k": [sample] * count}}
    text = orjson.dumps(body)
    assert bounds.filler(len(text) // bounds.RATIO // 2, text)
    record = make(body=body)
    data = encode(record)
    assert read_header(data).name == record.name
    back = decode(data, record.name)
    assert back.summary == record.summary
    assert {name: len(samples) for name, samples in back.body["data"].items()} == {
        name: len(samples) for name, samples in body["data"].items()
    }


def test_filler_is_only_written_where_it_is_needed() -> None:
    assert bounds.filler(1, b"x" * bounds.SMALL_TEXT_BYTES) == ""
    assert bounds.filler(20_000, b"x" * (bounds.SMALL_TEXT_BYTES + 1)) == ""
    assert bounds.filler(1, b"x" * (bounds.SMALL_TEXT_BYTES + 1)) != ""


def test_worst_text_that_is_let_through_uncounted_fits() -> None:
    most = bounds.SMALL_OBJECT_BYTES // bounds.LARGEST_OBJECT_BYTES
    assert bounds.may_have_objects(1, b"[" * most)
    assert not bounds.may_have_objects(1, b"[" * (most + 1))
    assert bounds.may_have_objects(1, b"," * 2 * most)
