"""Guarantee 7 after crashes, a lost index, bad files, and with a disk that is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from service.archive.errors import ArchiveUnavailable
from service.archiving.archiver import Archiver
from service.errors import ArchiveCorrupt
from service.sessions.store.archive_index import IndexEntry
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import (
    B,
    Killed,
    come_and_go,
    come_and_go_of,
    files_of,
    place_of,
    read,
    steps,
    values,
)

# -- crashes --


@pytest.mark.parametrize("step", ["read", "saved", "committed"])
def test_archiver_killed_at_any_step_leaves_one_place_and_the_next_run_finishes(
    store: RedisSessionStore,
    archiver: Archiver,
    make_archiver: Callable[[], Archiver],
    root: Path,
    step: str,
) -> None:
    """Every session is whole in exactly one place, and a second run ends with one file each."""
    for i in range(3):
        come_and_go(store, f"d{i}", ("k", i), sid=f"aaaa.{i}")
    ids = [f"d{i}" for i in range(3)]
    steps(archiver).kill_at(step)
    with pytest.raises(Killed):
        archiver.archive_sessions(ids)
    for i, session_id in enumerate(ids):
        place_of(store, root, session_id)
        assert values(read(archiver, session_id)) == {"k": [i]}
    left = [i for i in ids if place_of(store, root, i) != "archived"]
    assert {done.word for done in make_archiver().archive_sessions(left)} <= {"archived"}
    assert [place_of(store, root, i) for i in ids] == ["archived"] * 3
    assert len(files_of(root)) == 3


def test_restore_killed_before_its_script_changes_nothing(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """The session stays archived and comes back at the next try."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    steps(archiver).kill_at("restoring")
    with pytest.raises(Killed):
        archiver.restore("d1")
    assert place_of(store, root) == "archived"
    assert archiver.restore("d1")


# -- a lost index, bad files, a missing disk --


def test_register_finds_the_archive_when_the_index_was_lost(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, root: Path
) -> None:
    """An emptied Redis knows no archives: a register asks the disk by name before it begins anew."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    for key in list(client.scan_iter(f"{store.keys.prefix}:*")):
        client.delete(key)
    back = archiver.register("d1", node_id=B, sid="bbbb.1")
    assert back.restored
    assert values(store.index.details("d1")) == {"k": [1]}
    assert place_of(store, root) == "active"
    assert client.zscore(store.keys.project(0, "p1"), "d1") is not None


def test_index_of_files_never_replaces_what_is_newer_or_live(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """A reindex puts in what is missing, and nothing else."""
    come_and_go(store, "live", ("k", 1))
    come_and_go(store, "old", ("k", 1), sid="aaaa.2")
    come_and_go(store, "gone", ("k", 1), sid="aaaa.3")
    archiver.archive_sessions(["old", "gone"])
    name = store.archive_index.name_of("old")
    assert name is not None
    archiver.delete("gone")
    generation = int(name.split("~")[1].split("-")[0])

    def entry(session_id: str, rev: int, generation: int = generation) -> IndexEntry:
        made = f"0000/{session_id}~{generation}-{rev}.json.zst"
        return IndexEntry(session_id, made, generation, rev, 5, {"project_id": "p1"})

    entries = [
        entry("live", 1, 1),
        entry("live", 99),
        entry("old", 1),
        entry("gone", 99, 1),
        entry("new", 1),
        entry("new", 3),
        entry("new", 2),
    ]
    words = store.archive_index.add(0, entries)
    assert words == ["live", "beside", "known", "deleted", "ok", "ok", "known"]
    assert store.archive_index.name_of("old") == name
    assert str(store.archive_index.name_of("new")).endswith("-3.json.zst")
    assert store.index.counts()["archived"] == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "not ours", "folder", "gone"])
def test_bad_file_goes_to_quarantine_and_the_device_begins_afresh(
    store: RedisSessionStore, archiver: Archiver, root: Path, damage: str
) -> None:
    """The device still registers, is told `restored: false`, and nothing is deleted."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    path = root / str(store.archive_index.name_of("d1"))
    data = path.read_bytes()
    if damage in ("folder", "gone"):
        path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        flipped = bytes([data[len(data) // 2] ^ 1])
        bad = {
            "cut": data[:-9],
            "flipped": data[: len(data) // 2] + flipped + data[len(data) // 2 + 1 :],
            "empty": b"",
            "not ours": b"hello",
        }
        path.write_bytes(bad[damage])
    fresh = archiver.register("d1", node_id=B, sid="bbbb.1")
    assert (fresh.resumed, fresh.restored) == (False, False)
    assert place_of(store, root) == "active"
    items = archiver.archive.store.quarantined()
    assert len(items) == (0 if damage == "gone" else 1)
    assert all(item.reason for item in items)


def test_reading_a_bad_file_says_so_once_and_the_session_is_none_afterwards(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """`archive_corrupt`, the file is in quarantine with the reason, and lists have it no more."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    path = root / str(store.archive_index.name_of("d1"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArchiveCorrupt):
        read(archiver, "d1")
    assert read(archiver, "d1") is None
    assert len(archiver.archive.store.quarantined()) == 1
    assert store.index.counts()["archived"] == 0


def test_read_while_the_session_moves_finds_it(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """The index named a file that was superseded and removed a moment later."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    other = make_archiver()
    load = archiver.archive.load

    def load_late(name: str) -> Any:
        archiver.archive.load = load  # type: ignore[method-assign]
        come_and_go_of(other, "d1")
        return load(name)

    archiver.archive.load = load_late  # type: ignore[method-assign]
    assert values(read(archiver, "d1")) == {"k": [1]}
    assert place_of(store, root) == "archived"


def test_archive_that_cannot_be_read_is_no_reason_for_a_fresh_session(
    store: RedisSessionStore, archiver: Archiver, root: Path, tmp_path: Path
) -> None:
    """The volume is not mounted: `store_unavailable`, and the session is whole when it is back."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    root.rename(tmp_path / "away")
    for session_id in ("d1", "never seen"):
        with pytest.raises(ArchiveUnavailable) as refused:
            archiver.register(session_id, node_id=B, sid="bbbb.1")
        assert refused.value.code == "store_unavailable"
    root.mkdir()  # an empty mount point is no archive either
    with pytest.raises(ArchiveUnavailable):
        archiver.register("d1", node_id=B, sid="bbbb.1")
    root.rmdir()
    (tmp_path / "away").rename(root)
    assert archiver.register("d1", node_id=B, sid="bbbb.1").restored
