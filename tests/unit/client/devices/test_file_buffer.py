"""The buffer file of the Python client: what is on the disk when, and one owner."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from muster_client import BadBuffer, BufferInUse
from muster_client.devices.buffer import Bounds, Numbered
from muster_client.devices.file_buffer import FileBuffer
from muster_client.devices.samples import Sample


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[FileBuffer]:
    made = FileBuffer(tmp_path / "buffer.db")
    yield made
    made.close()


@pytest.fixture
def synced(buffer: FileBuffer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Files that were synced; a test may put an error in front."""
    found: list[int] = []
    monkeypatch.setattr(os, "fsync", found.append)
    return found


ONE = [Sample("n", "1", 1.0)]


def test_number_is_on_the_disk_when_it_was_given_and_a_sample_alone_at_the_next_sync(
    buffer: FileBuffer, synced: list[int]
) -> None:
    buffer.add(ONE)
    assert synced == []
    buffer.sync()
    assert len(synced) == 1
    buffer.number([Numbered(1, 1)], 1, buffer.stream)
    assert len(synced) == 2


def test_idle_device_does_not_wear_out_its_disk(buffer: FileBuffer, synced: list[int]) -> None:
    buffer.add(ONE)
    for _ in range(3):
        buffer.sync()
    assert len(synced) == 1


def fail(_: int) -> None:
    raise OSError(errno.EIO, "bad disk")


def test_after_a_sync_that_failed_all_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next sync of the same file would say that all is well: the system has forgotten what it had to write."""
    buffer = FileBuffer(tmp_path / "buffer.db")
    buffer.add(ONE)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="bad disk"):
        buffer.sync()
    buffer.sync()  # although that still fails: it is not asked
    monkeypatch.undo()
    buffer.add(ONE)
    shutil.copy(tmp_path / "buffer.db", tmp_path / "copy.db")  # without its log
    copy = FileBuffer(tmp_path / "copy.db")
    assert len(copy) == 1
    copy.close()
    buffer.sync()
    assert not buffer.is_unsynced
    buffer.close()


def test_buffer_that_could_not_be_synced_at_its_end_is_free_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = FileBuffer(tmp_path / "buffer.db")
    buffer.add(ONE)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="bad disk"):
        buffer.close()
    monkeypatch.undo()
    buffer = FileBuffer(tmp_path / "buffer.db")
    assert len(buffer) == 1
    buffer.close()


def test_bytes_are_counted_as_samples_count_them_also_after_a_restart(tmp_path: Path) -> None:
    """Otherwise a full buffer drifts: it keeps too much, or drops what has room."""
    samples = [Sample("ü", '"日本"', 1.0), Sample("n", "12", 2.0)]
    size = sum(sample.size for sample in [*samples, *ONE]) - 1
    buffer = FileBuffer(tmp_path / "buffer.db", Bounds(bytes=size))
    assert buffer.add(samples) == 0
    buffer.close()
    buffer = FileBuffer(tmp_path / "buffer.db", Bounds(bytes=size))
    assert buffer.add(ONE) == 1
    buffer.settle(buffer.samples(0, 1)[0].place, [])
    buffer.settle(buffer.samples(0, 1)[0].place, [])
    assert buffer.add(samples) == 0
    buffer.close()


def test_file_has_one_owner_until_it_is_closed(tmp_path: Path) -> None:
    first = FileBuffer(tmp_path / "buffer.db")
    with pytest.raises(BufferInUse):
        FileBuffer(tmp_path / "buffer.db")
    first.close()
    FileBuffer(tmp_path / "buffer.db").close()


def test_file_that_is_no_buffer_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, which are no buffer at all\n" * 100)
    before = path.read_bytes()
    with pytest.raises(BadBuffer):
        FileBuffer(path)
    assert path.read_bytes() == before
