"""Bounds of the buffers of the Python client: of what they hold now, whatever they held before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from muster_client import BadBuffer
from muster_client.devices import buffer as memory_module
from muster_client.devices import file_buffer as file_module
from muster_client.devices.buffer import Bounds, Buffer, MemoryBuffer, Numbered
from muster_client.devices.file_buffer import FileBuffer
from muster_client.devices.samples import check

#: One sample of them, and how many a full buffer has.
ONE = check({"k": "x" * 100}, 1.0)
FULL = 10


@pytest.fixture(params=["memory", "file"])
def buffer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Buffer]:
    bounds = Bounds(samples=1_000, bytes=FULL * ONE[0].size)
    made = MemoryBuffer(bounds) if request.param == "memory" else FileBuffer(tmp_path / "b", bounds)
    yield made
    made.close()


def fill(buffer: Buffer) -> int:
    """Add until it is full; how many it took."""
    for count in range(1, 2 * FULL):
        if buffer.add(ONE):
            return count - 1
    raise AssertionError("it is never full")


def test_full_buffer_has_as_much_as_it_may_and_no_more(buffer: Buffer) -> None:
    assert fill(buffer) == FULL
    assert len(buffer) == FULL


def test_what_is_settled_or_dropped_makes_room(buffer: Buffer) -> None:
    fill(buffer)
    places = [one.place for one in buffer.samples(0, 100)]
    buffer.settle(places[3], [])
    buffer.drop(places[5], [])
    assert len(buffer) == FULL - 5
    assert fill(buffer) == 5


def test_number_of_samples_is_bounded_too(tmp_path: Path) -> None:
    for made in (MemoryBuffer(Bounds(samples=3)), FileBuffer(tmp_path / "b", Bounds(samples=3))):
        assert [made.add(ONE) for _ in range(5)] == [0, 0, 0, 1, 1]
        assert len(made) == 3
        made.close()


def test_samples_with_a_number_stay_in_a_full_file(tmp_path: Path) -> None:
    made = FileBuffer(tmp_path / "b", Bounds(samples=3))
    made.add(ONE * 3)
    made.number([Numbered(1, 2)], 1, made.stream)
    assert made.add(ONE * 2) == 2
    assert [one.place for one in made.samples(0, 100)] == [1, 2, 5]
    made.close()


def test_commands_are_remembered_up_to_a_bound(
    buffer: Buffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (memory_module, file_module):
        monkeypatch.setattr(module, "KEPT_COMMANDS", 3)
    for number in range(6):
        buffer.taken(f"c{number}", "go", None)
        buffer.ended(f"c{number}", {"ok": True})
    assert [buffer.outcome(f"c{number}") for number in range(6)] == [None] * 3 + [{"ok": True}] * 3


def test_outcome_that_the_service_has_is_not_reported_again(tmp_path: Path) -> None:
    made = FileBuffer(tmp_path / "b")
    for name in ("a", "b"):
        made.taken(name, "go", 1)
    made.reported("a")
    assert [one.command_id for one in made.unreported()] == ["b"]
    made.close()


def test_write_that_fails_leaves_the_counts_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when all was counted."""
    made = FileBuffer(tmp_path / "b", Bounds(samples=2))
    made.add(ONE)

    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(made, "_trim", full)
        with pytest.raises(BadBuffer):
            made.add(ONE)
    assert len(made) == len(made.samples(0, 100)) == 1
    assert made.add(ONE) == 0
    made.close()
