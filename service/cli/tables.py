"""Tables for people: what fits a terminal, without cutting an id; all of it where there is no edge.

On a terminal, columns that do not fit are left out, the least important first, and it is said how to see
them. What stays is never cut: words continue in the next line, and where an id is longer than its column, the rest
of its row does. A pipe or file has no edge and gets every column.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from service.observability.logs import printable

#: Between two columns.
_GAP = 2
#: Where there is not room for all, a column of ids is as wide as a UUID, one of words as this.
_ID, _WORDS = 36, 20
#: A pipe or file.
_NO_EDGE = 10_000
#: State or severity → how it looks on a terminal with colours.
STYLES = {
    "active": "green",
    "ready": "green",
    "ok": "green",
    "finished": "green",
    "inactive": "dim",
    "archived": "blue",
    "draining": "yellow",
    "warning": "yellow",
    "not ready": "bold red",
    "failed": "bold red",
    "error": "bold red",
    "critical": "bold red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    #: 0: always there; others are left out where there is no room, the highest first.
    rank: int = 0
    #: Words, which may continue in the next line; all else stays whole.
    wraps: bool = False
    right: bool = False
    #: Cell → its style.
    style: Callable[[str], str] = lambda cell: ""


def by_state(cell: str) -> str:
    """Return the style of a state or severity."""
    return STYLES.get(cell, "")


def stdout_console() -> Console:
    """Return standard output with colours where it is a terminal that has them; NO_COLOR is obeyed."""
    return Console(highlight=False, markup=False, emoji=False)


def show_table(
    columns: Sequence[Column | str],
    rows: Sequence[Sequence[Any]],
    empty: str,
    *,
    wide: bool = True,
) -> None:
    """Print rows; `empty` when there are none. What devices sent is shown on one line.

    Args:
        wide: all columns, also where a row is longer than a line of the terminal.
    """
    if not rows:
        if empty:
            typer.echo(empty)
        return
    console = stdout_console()
    edge = console.width if console.is_terminal else _NO_EDGE
    lines, left_out = layout(columns, rows, edge, wide=wide)
    for line in lines:
        console.print(line, soft_wrap=True)
    if left_out:
        sys.stdout.flush()
        typer.secho(f"({len(left_out)} more columns with --wide)", err=True, dim=True)


def layout(
    columns: Sequence[Column | str], rows: Sequence[Sequence[Any]], edge: int, *, wide: bool
) -> tuple[list[Text], list[str]]:
    """Return the lines of a table on a terminal `edge` columns wide, and the columns that are left out."""
    made = [Column(one) if isinstance(one, str) else one for one in columns]
    cells = [[printable("" if cell is None else str(cell)) for cell in row] for row in rows]
    natural = [
        max(cell_len(one.name), *(cell_len(row[place]) for row in cells))
        for place, one in enumerate(made)
    ]
    chosen = list(range(len(made)))
    widths = natural
    if edge < _NO_EDGE and _total(natural, chosen) > edge:
        widths = [
            min(width, max(_WORDS if one.wraps else _ID, cell_len(one.name)))
            for one, width in zip(made, natural, strict=True)
        ]
        if not wide:
            chosen = _fitting(made, widths, edge)
        _give_rest(made, natural, widths, chosen, edge)
    picked = [(made[place], widths[place], place) for place in chosen]
    head = _row([(one, width, Text(one.name, "bold")) for one, width, _ in picked])
    lines = [
        line
        for row in cells
        for line in _row(
            [(one, width, Text(row[at], one.style(row[at]))) for one, width, at in picked]
        )
    ]
    return [*head, *lines], [one.name for place, one in enumerate(made) if place not in chosen]


def _total(widths: Sequence[int], chosen: Sequence[int]) -> int:
    return sum(widths[place] for place in chosen) + _GAP * (len(chosen) - 1)


def _fitting(columns: Sequence[Column], widths: Sequence[int], edge: int) -> list[int]:
    chosen = list(range(len(columns)))
    for place in sorted(chosen, key=lambda place: -columns[place].rank):
        if columns[place].rank == 0 or _total(widths, chosen) <= edge:
            break
        chosen.remove(place)
    return chosen


def _give_rest(
    columns: Sequence[Column],
    natural: Sequence[int],
    widths: list[int],
    chosen: Sequence[int],
    edge: int,
) -> None:
    """Give what is left of a line to what could use it: whole ids first, then words."""
    for place in sorted(chosen, key=lambda place: columns[place].wraps):
        spare = edge - _total(widths, chosen)
        widths[place] += max(0, min(spare, natural[place] - widths[place]))


def _row(cells: Sequence[tuple[Column, int, Text]]) -> list[Text]:
    """Return the lines of one row."""
    parts = [_wrapped(text, width) if column.wraps else [text] for column, width, text in cells]
    lines = [Text()]
    start = first = 0
    for (column, width, _), texts in zip(cells, parts, strict=True):
        if lines[first].cell_len > max(
            0, start - _GAP
        ):  # what is before it was longer than its column
            first = len(lines)
            lines.append(Text())
        for number, text in enumerate(texts):
            if first + number == len(lines):
                lines.append(Text())
            line = lines[first + number]
            gap = start + (width - text.cell_len if column.right else 0) - line.cell_len
            line.append(" " * max(0, gap)).append_text(text)
        start += width + _GAP
    for line in lines:
        line.rstrip()
    return lines


def _wrapped(text: Text, width: int) -> list[Text]:
    console = Console(width=width, stderr=True)
    return list(text.wrap(console, width, overflow="fold")) or [text]
