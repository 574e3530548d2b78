"""Cursors of pages: the position in a list.

A list may go through several indexes (active, inactive, archived), each ordered by (score, id). A session
that changes its state while a client pages moves from one index to the end of another, maybe of one that
was read already. So a cursor keeps a position in each index, and when the last one is read, all are read once
more from there: a session that moved is found in its new index. It may come twice, the later one is right; a
session that stays in its state comes exactly once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from service import errors

#: (score, id) as an index orders them.
Entry = tuple[float, bytes]
FIRST: Entry = (float("-inf"), b"")
#: How often each index is read.
ROUNDS = 2

#: Every text of this form is a cursor, so that one is right or wrong without being looked up.
CURSOR = r"^[0-5](\.([0-9]{1,15}-([0-9a-f]{2}){0,256})?){1,3}$"


@dataclass(frozen=True, slots=True)
class PageCursor:
    """`turn` counts indexes read to their end; `marks` are the last entries seen, one per index."""

    turn: int
    marks: tuple[Entry, ...]

    def after(self, mark: Entry, *, is_end: bool) -> PageCursor:
        """Return the cursor behind an entry of the present index; at its end, in the next index."""
        which = self.turn % len(self.marks)
        marks = (*self.marks[:which], mark, *self.marks[which + 1 :])
        return PageCursor(self.turn + is_end, marks)

    def cursor(self) -> str:
        """Return the cursor as text."""
        shown = ("" if mark == FIRST else f"{mark[0]:.0f}-{mark[1].hex()}" for mark in self.marks)
        return f"{self.turn}.{'.'.join(shown)}"


def parse_cursor(cursor: str | None, indexes: int) -> PageCursor:
    """Parse a cursor; None is the beginning.

    Raises:
        InvalidRequest
    """
    if not cursor:
        return PageCursor(0, (FIRST,) * indexes)
    if not re.fullmatch(CURSOR[1:-1], cursor):
        raise errors.InvalidRequest("cursor: not one that this service gave out")
    turn, *texts = cursor.split(".")
    marks = [FIRST] * indexes
    for i, text in enumerate(texts[:indexes]):
        if text:
            score, _, member = text.partition("-")
            marks[i] = (float(score), bytes.fromhex(member))
    return PageCursor(int(turn), tuple(marks))
