"""Cursors of pages over several indexes: each keeps its own place, in both rounds."""

from __future__ import annotations

import pytest

from service.sessions.page_cursor import PageCursor, parse_cursor

ACTIVE, INACTIVE = (5.0, b"a"), (6.0, b"b\xff")


@pytest.mark.parametrize("is_end", [False, True])
@pytest.mark.parametrize(("turn", "index"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_entry_is_the_place_in_the_index_that_is_read(turn: int, index: int, is_end: bool) -> None:
    after = PageCursor(turn, (ACTIVE, INACTIVE)).after((7.0, b"c"), is_end=is_end)
    expected = [ACTIVE, INACTIVE]
    expected[index] = (7.0, b"c")
    assert after == PageCursor(turn + is_end, tuple(expected))
    assert parse_cursor(after.cursor(), 2) == after
