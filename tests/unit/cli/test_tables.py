"""Tables on a terminal: nothing is cut, and what has no room is left out and named."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from service.cli.sessions.command import LIST_COLUMNS
from service.cli.status import NODE_COLUMNS
from service.cli.tables import Column, layout

UUID = "3f2a8c1e-94b7-4d0e-8a51-6f0c2b7d9e13"


def session(session_id: str, name: str = "Hall", node: str = "web-1-abcdefghij") -> list[object]:
    return [
        session_id,
        "inactive",
        "12 min ago",
        100,
        name,
        "plant 7",
        node,
        12345,
        "2026-01-01 12:00:00",
    ]


def texts(rows: list[list[object]], edge: int, wide: bool = False) -> tuple[list[str], list[str]]:
    lines, left_out = layout(LIST_COLUMNS, rows, edge, wide=wide)
    return [line.plain for line in lines], left_out


def test_sessions_with_ids_of_a_uuid_fit_80_columns_whole() -> None:
    lines, left_out = texts([session(UUID), session(f"x{UUID[1:]}")], 80)
    assert all(cell_len(line) <= 80 for line in lines)
    assert lines[1].split()[:2] == [UUID, "inactive"]
    assert "node" in left_out
    assert "name" not in left_out


def test_the_nodes_of_a_service_fit_80_columns_whole() -> None:
    node = "muster-node-7d9f8b6c5d-x2k4q-abcdefghij"
    row = [node, "not ready", "0.7 s ago", 12345, 123, 12345, "12 min", "0.1.0.dev0", *["x"] * 6]
    lines, left_out = layout(NODE_COLUMNS, [row], 80, wide=False)
    assert all(line.cell_len <= 80 for line in lines)
    assert node in lines[1].plain
    assert {"address", "host"} <= set(left_out)


def test_a_long_id_leaves_the_other_rows_as_they_are() -> None:
    """What is longer than its column stays whole; the rest of its row goes on below."""
    long = "d" * 256
    lines, _ = texts([session("car-1"), session(long), session("car-2")], 80)
    assert lines[2] == long
    assert lines[3].startswith(" " * 30)
    assert "inactive" in lines[3]
    assert [line.split()[0] for line in lines if line.startswith("car")] == ["car-1", "car-2"]
    assert lines[1].index("inactive") == lines[3].index("inactive") == lines[4].index("inactive")


def test_wide_shows_every_column() -> None:
    lines, left_out = texts([session(UUID)], 80, wide=True)
    assert left_out == []
    assert lines[1].rstrip().endswith("2026-01-01 12:00:00")


def test_a_pipe_gets_all_of_a_row_in_one_line() -> None:
    lines, left_out = texts([session("d" * 256, name="n" * 200)], 10_000)
    assert (len(lines), left_out) == (2, [])


def test_words_go_on_in_the_next_line() -> None:
    columns = [Column("field"), Column("value", wraps=True)]
    lines, _ = layout(columns, [["setup", "word " * 40]], 80, wide=True)
    assert all(line.cell_len <= 80 for line in lines)
    assert sum(line.plain.count("word") for line in lines) == 40
    assert lines[2].plain.startswith("       word")


@given(
    st.lists(st.text(max_size=60), min_size=1, max_size=4),
    st.text(max_size=100),
    st.integers(40, 200),
)
def test_no_id_is_cut_whatever_it_is(ids: list[str], name: str, edge: int) -> None:
    """Wide characters, controls, nothing at all: every id is in one line, as `printable` has it."""
    from service.observability.logs import printable

    lines, _ = texts([session(one, name) for one in ids], edge)
    for one in ids:
        assert any(printable(one).rstrip() in line for line in lines)
