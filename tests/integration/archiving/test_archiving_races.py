"""Guarantee 7 when two act on one session at once; every interleaving is forced by the Archiver's steps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from service.archiving.archiver import Archiver
from service.sessions.model import NewCommand, Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import (
    NUMBERS,
    A,
    B,
    Killed,
    come_and_go,
    files_of,
    place_of,
    read,
    steps,
    values,
)
from tests.support.nodes.stores import holding, keys_of, part

# -- races --


@pytest.mark.parametrize("what", ["update", "register", "join", "command", "setup"])
def test_change_between_snapshot_and_commit_keeps_the_session_in_redis(
    store: RedisSessionStore, archiver: Archiver, root: Path, what: str
) -> None:
    """An update racing the archive is in Redis afterwards, and the refused file is gone."""
    come_and_go(store, "d1", ("k", 1))

    def change() -> None:
        if what == "update":
            store.samples.append(0, B, next(NUMBERS), [part("d1", None, ("k", 2))])
        elif what == "register":
            archiver.register("d1", node_id=B, sid="bbbb.1")
        elif what == "join":
            store.ownership.join("d1", B, "bbbb.2")
        elif what == "command":
            store.commands.add("d1", NewCommand("c1", "go", "null", 60_000))
        else:
            store.setups.put("d1", b"1")

    steps(archiver).then["saved"] = change
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["newer"]
    assert place_of(store, root) == ("active" if what == "register" else "inactive")
    assert files_of(root) == []
    assert values(store.index.details("d1")) == {"k": [1, 2] if what == "update" else [1]}


def test_two_archivers_of_one_session_make_one_file(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """The second finds the session gone, and takes its own file away."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()
    steps(archiver).then["saved"] = lambda: other.archive_sessions(["d1"])
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["newer"]
    assert place_of(store, root) == "archived"
    assert len(files_of(root)) == 1


@pytest.mark.parametrize("step", ["read", "saved"])
def test_archiver_that_slept_never_harms_a_newer_archive(
    store: RedisSessionStore,
    archiver: Archiver,
    make_archiver: Callable[[], Archiver],
    root: Path,
    step: str,
) -> None:
    """Stopped while the session came back and was archived again, it removes only its own file."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()

    def meanwhile() -> None:
        own = other.register("d1", node_id=B, sid="bbbb.1")
        store.samples.append(0, B, next(NUMBERS), [part("d1", own.generation, ("k", 2))])
        store.ownership.disconnect(0, B, [("d1", "bbbb.1", own.generation)], "gone")
        assert [done.word for done in other.archive_sessions(["d1"])] == ["archived"]

    steps(archiver).then[step] = meanwhile
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["newer"]
    assert place_of(store, root) == "archived"
    assert len(files_of(root)) == 1
    assert values(read(archiver, "d1")) == {"k": [1, 2]}


def test_archiver_that_slept_through_a_restore_keeps_the_superseded_file(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Its own file goes; the other's was restored from: it stays until the next commit."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()

    def meanwhile() -> None:
        other.archive_sessions(["d1"])
        other.restore("d1")

    steps(archiver).then["saved"] = meanwhile
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["newer"]
    assert place_of(store, root) == "inactive"
    assert len(files_of(root)) == 1


def test_two_nodes_restoring_at_once_make_one_session(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Both register; one owner at the end, one history, nothing twice."""
    come_and_go(store, "d1", ("k", 1), ("k", 2))
    archiver.archive_sessions(["d1"])
    other = make_archiver()
    seen: list[Registration] = []
    steps(archiver).then["restoring"] = lambda: seen.append(
        other.register("d1", node_id=B, sid="bbbb.1")
    )
    last = archiver.register("d1", node_id=A, sid="aaaa.2")
    assert seen[0].restored
    assert last.resumed
    assert last.superseded is not None
    assert last.superseded.sid == "bbbb.1"
    assert place_of(store, root) == "active"
    assert values(store.index.details("d1")) == {"k": [1, 2]}


def test_many_registers_of_one_archived_id_end_with_one_owner(
    store: RedisSessionStore, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Threads on two nodes: exactly one owner, all data once."""
    come_and_go(store, "d1", ("k", 1))
    make_archiver().archive_sessions(["d1"])
    results: list[Registration] = []
    barrier = threading.Barrier(8)

    def device(i: int) -> None:
        mine = make_archiver()
        barrier.wait(60)
        results.append(mine.register("d1", node_id=(A, B)[i % 2], sid=f"x.{i}"))

    threads = [threading.Thread(target=device, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 8
    winner = max(results, key=lambda registered: registered.generation)
    assert store.index.get("d1")["generation"] == str(winner.generation)  # type: ignore[index]
    assert values(store.index.details("d1")) == {"k": [1]}
    assert place_of(store, root) == "active"


# -- delete --


@pytest.mark.parametrize("state", ["active", "inactive", "archived", "restored"])
def test_delete_leaves_nothing_anywhere(
    store: RedisSessionStore, archiver: Archiver, root: Path, state: str
) -> None:
    """From any state: no key, no file, no index entry; a later register begins afresh."""
    come_and_go(store, "d1", ("k", 1))
    if state in ("archived", "restored"):
        archiver.archive_sessions(["d1"])
    if state == "restored":
        archiver.restore("d1")
    if state == "active":
        archiver.register("d1", node_id=A, sid="aaaa.9")
    assert archiver.delete("d1") is not None
    assert files_of(root) == []
    names = keys_of(store.runner.client, store.keys.prefix, "d1")
    assert names == [store.keys.tombstone("d1")]
    assert store.index.counts() == {"active": 0, "inactive": 0, "archived": 0}
    assert store.runner.client.exists(store.keys.project(0, "p1")) == 0
    assert archiver.delete("d1") is not None or archiver.delete("d1") is None
    fresh = archiver.register("d1", node_id=B, sid="bbbb.1")
    assert (fresh.resumed, fresh.restored, fresh.rev) == (False, False, 2)


def test_delete_during_a_restore_wins(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """The file was read, then the session was deleted: the restore is refused."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    other = make_archiver()
    steps(archiver).then["restoring"] = lambda: other.delete("d1")
    assert archiver.restore("d1") is False
    assert store.index.get("d1") is None
    assert files_of(root) == []


def test_delete_during_an_archival_wins(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """The file was written after the delete looked for files: it is removed by its writer."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()
    steps(archiver).then["saved"] = lambda: other.delete("d1")
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["deleted"]
    assert files_of(root) == []
    assert store.index.counts() == {"active": 0, "inactive": 0, "archived": 0}


@pytest.mark.parametrize("step", ["tombstone", "files"])
@pytest.mark.parametrize("state", ["inactive", "archived"])
def test_delete_killed_between_two_steps_is_finished_by_the_next(
    store: RedisSessionStore, archiver: Archiver, root: Path, step: str, state: str
) -> None:
    """After a crash the delete can be repeated, and nothing comes back after that."""
    own = come_and_go(store, "d1", ("k", 1))
    if state == "archived":
        archiver.archive_sessions(["d1"])
    steps(archiver).kill_at(step)
    with pytest.raises(Killed):
        archiver.delete("d1")
    assert store.ownership.reclaim(0, A, [holding(own, "aaaa.1")])[0][0] == "deleted"
    assert archiver.delete("d1") is not None
    assert files_of(root) == []
    assert store.index.counts() == {"active": 0, "inactive": 0, "archived": 0}


def test_archiver_that_commits_between_the_steps_of_a_delete_is_refused(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Its file, written after the delete looked for files, does not survive the delete."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()
    words: list[str] = []
    steps(archiver).then["files"] = lambda: words.extend(
        done.word for done in other.archive_sessions(["d1"])
    )
    assert archiver.delete("d1") is not None
    assert words == ["deleted"]
    assert files_of(root) == []


def test_refused_archiver_leaves_a_file_that_another_commits_meanwhile(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Refused as busy; the client leaves, and another archiver commits the same state."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()

    def busy() -> None:
        store.runner.client.sadd(store.keys.clients("d1"), "x#y")  # joined; the rev is the same

    def free_again() -> None:
        store.runner.client.delete(store.keys.clients("d1"))
        assert [done.word for done in other.archive_sessions(["d1"])] == ["archived"]

    steps(archiver).then["saved"] = busy
    steps(archiver).then["committed"] = free_again
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["busy"]
    assert place_of(store, root) == "archived"


def test_archiver_that_slept_while_redis_was_emptied_keeps_its_file(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, root: Path
) -> None:
    """Nobody knows the session any more: the file may be the only copy, and a register finds it."""
    come_and_go(store, "d1", ("k", 1))

    def emptied() -> None:
        for key in list(client.scan_iter(f"{store.keys.prefix}:*")):
            client.delete(key)

    steps(archiver).then["saved"] = emptied
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["missing"]
    assert len(files_of(root)) == 1
    assert archiver.register("d1", node_id=B, sid="bbbb.1").restored
    assert values(store.index.details("d1")) == {"k": [1]}
