"""Where a list stands: the cursor of a page.

A list may go through several indexes (active, inactive, archived), each ordered by (score, id). A session
that changes its state while somebody pages moves from one index to the end of another, maybe of one that
was read already. So a place keeps how far it came in each, and when the last is read, all are read once
more from there: what moved is found where it went. It may come twice then, the later one is right; what
stays in its state comes exactly once.
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

#: Every text of this form is a place, so that a cursor is right or wrong without being looked up.
CURSOR = r"^[0-5](\.([0-9]{1,15}-([0-9a-f]{2}){0,256})?){1,3}$"


@dataclass(frozen=True, slots=True)
class PageCursor:
    """`turn` counts indexes read to their end; `marks` are the last entries seen, one per index."""

    turn: int
    marks: tuple[Entry, ...]

    def after(self, mark: Entry, *, is_end: bool) -> PageCursor:
        """The place behind an entry of the present index; at its end the next one has its turn."""
        which = self.turn % len(self.marks)
        marks = (*self.marks[:which], mark, *self.marks[which + 1 :])
        return PageCursor(self.turn + is_end, marks)

    def cursor(self) -> str:
        """The place as text."""
        shown = ("" if mark == FIRST else f"{mark[0]:.0f}-{mark[1].hex()}" for mark in self.marks)
        return f"{self.turn}.{'.'.join(shown)}"


def parse_cursor(cursor: str | None, indexes: int) -> PageCursor:
    """The place in a cursor; without one the beginning.

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
