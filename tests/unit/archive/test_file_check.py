"""The checksum of a file that is read in pieces: the same verdict as of the file as a whole."""

from __future__ import annotations

import pytest

from service.archive.errors import BadRecord
from service.archive.record import FileCheck, Record, encode

DATA = encode(Record("s1", 1, 2, 3, {}, {"data": {"a": list(range(200))}}))


def checked(data: bytes, piece: int) -> int:
    check = FileCheck()
    for start in range(0, len(data), piece):
        check.feed(data[start : start + piece])
    return check.finish()


@pytest.mark.parametrize("piece", [4, 7, 39, 40, 41, 10_000])
def test_pieces_of_any_size_are_one_file(piece: int) -> None:
    assert checked(DATA, piece) == len(DATA)


@pytest.mark.parametrize("place", [10, -41, -40, -20, -1])
def test_flipped_byte_is_found(place: int) -> None:
    bad = bytearray(DATA)
    bad[place] ^= 1
    with pytest.raises(BadRecord):
        checked(bytes(bad), 64)


@pytest.mark.parametrize("data", [b"", b"\x28\xb5\x2f\xfd", DATA[:-1], DATA[1:], DATA + b"x"])
def test_file_that_is_cut_or_none_of_ours_is_found(data: bytes) -> None:
    with pytest.raises(BadRecord):
        checked(data, 64)
