"""A session's file holds what the session was at one moment, and no file is ever harmed by another archiver."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from service.archive.names import new_capture
from service.archive.record import Record
from service.archiving.archiver import Archiver
from service.archiving.records import index_entry
from service.cli.archive.imports import _take
from service.sessions.model import Capture
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
from tests.support.nodes.stores import holding, part

SAMPLES = tuple((f"k{n}", n) for n in range(12))
ALL = {f"k{n}": [n] for n in range(12)}


def between_the_trips(
    store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]
) -> None:
    """Once, when a session's hash was read and its histories were not."""
    real = store.captures._lists

    def lists(*wanted: Any) -> Any:
        monkeypatch.setattr(store.captures, "_lists", real)
        action()
        return real(*wanted)

    monkeypatch.setattr(store.captures, "_lists", lists)


def empty(client: redis.Redis, store: RedisSessionStore) -> None:
    """All is lost, and a node that looks finds another life."""
    for key in list(client.scan_iter(f"{store.keys.prefix}:*")):
        client.delete(key)
    store.samples.open_feed(0)


def add(store: RedisSessionStore, *samples: tuple[str, Any]) -> None:
    assert store.samples.append(0, B, next(NUMBERS), [part("d1", None, *samples)])[0].word == "ok"


WORDS = {
    "updated": "newer",
    "archived": "missing",
    "archived and restored": "newer",
    "deleted": "missing",
    "deleted and made again": "newer",
    "emptied": "missing",
    "emptied and reclaimed": "newer",
    "another life": "newer",
}


@pytest.mark.parametrize("what", WORDS)
def test_capture_that_is_not_of_one_moment_is_thrown_away(
    store: RedisSessionStore,
    archiver: Archiver,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    """Whatever happens to the session between the two readings of it; the next capture is whole again."""
    own = come_and_go(store, "d1", *SAMPLES)

    def happen() -> None:
        match what:
            case "updated":
                add(store, ("k1", "later"))
            case "archived" | "archived and restored":
                assert archiver.archive_sessions(["d1"])[0].word == "archived"
                if what != "archived":
                    archiver.restore("d1")
            case "deleted" | "deleted and made again":
                archiver.delete("d1")
                if what != "deleted":
                    come_and_go(store, "d1", *SAMPLES)
            case "emptied" | "emptied and reclaimed":
                empty(client, store)
                if what != "emptied":
                    store.ownership.reclaim(0, A, [holding(own, "aaaa.1")])
            case _:
                client.hset(store.keys.epoch(0), "epoch", "another")

    between_the_trips(store, monkeypatch, happen)
    assert store.captures.read(["d1"]) == [WORDS[what]]
    if WORDS[what] == "newer":
        again = store.captures.read(["d1"])[0]
        assert isinstance(again, Capture)


def test_session_that_another_archived_while_it_was_read_keeps_all_its_data(
    store: RedisSessionStore,
    archiver: Archiver,
    make_archiver: Callable[[], Archiver],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sweep and a memory job at the same session: the good file is the one that stays."""
    come_and_go(store, "d1", *SAMPLES)
    other = make_archiver()
    between_the_trips(store, monkeypatch, lambda: other.archive_sessions(["d1"]))
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["missing"]
    assert place_of(store, root) == "archived"
    assert values(read(archiver, "d1")) == ALL
    assert len(files_of(root)) == 1


def test_commit_of_a_session_that_is_another_at_the_same_rev_is_refused(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, root: Path
) -> None:
    """Redis lost it, and it has got to the same generation and rev without its data: both stay."""
    own = come_and_go(store, "d1", *SAMPLES)
    was = store.index.get("d1")
    assert was is not None

    def come_again() -> None:
        empty(client, store)
        store.ownership.reclaim(0, A, [holding(own, "aaaa.1", rev=int(was["rev"]) - 2)])
        store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
        now = store.index.get("d1")
        assert now is not None
        assert (now["generation"], now["rev"]) == (was["generation"], was["rev"])

    steps(archiver).then["saved"] = come_again
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["older"]
    assert place_of(store, root) == "inactive"
    (file,) = root.glob("????/*.zst")
    record = archiver.archive.load(f"{file.parent.name}/{file.name}")
    assert record is not None
    assert set(record.body["data"]) == set(ALL)


def test_refused_archiver_keeps_its_file_when_redis_lost_something_meanwhile(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, root: Path
) -> None:
    """A newer rev in another life of Redis does not hold what the file does."""
    own = come_and_go(store, "d1", *SAMPLES)

    def lose() -> None:
        empty(client, store)
        store.ownership.reclaim(0, A, [holding(own, "aaaa.1", rev=own.rev + 100)])

    steps(archiver).then["saved"] = lose
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["older"]
    assert len(files_of(root)) == 1


# -- what a commit removes --


@pytest.mark.parametrize("first", ["saved", "committed"])
@pytest.mark.parametrize("second", ["saved", "committed"])
def test_files_of_killed_archivers_go_with_a_later_commit(
    store: RedisSessionStore,
    archiver: Archiver,
    make_archiver: Callable[[], Archiver],
    root: Path,
    first: str,
    second: str,
) -> None:
    """Killed before or after its commit, in a stay that ended or in this one: one file at the end."""
    come_and_go(store, "d1", *SAMPLES)
    for number, step in enumerate((first, second)):
        steps(archiver).kill_at(step)
        with pytest.raises(Killed):
            archiver.archive_sessions(["d1"])
        archiver = make_archiver()
        archiver.restore("d1")
        add(store, ("n", number))
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["archived"]
    assert len(files_of(root)) == 1
    assert values(read(archiver, "d1")) == {**ALL, "n": [0, 1]}


def test_archiver_killed_while_it_removes_files_leaves_none_for_ever(
    store: RedisSessionStore,
    archiver: Archiver,
    make_archiver: Callable[[], Archiver],
    root: Path,
) -> None:
    """Each file goes before the one that leads to it, so that the next commit still finds it."""
    come_and_go(store, "d1", *SAMPLES)
    for _ in range(3):  # three files in a row, none of them removed
        steps(archiver).kill_at("committed")
        with pytest.raises(Killed):
            archiver.archive_sessions(["d1"])
        archiver = make_archiver()
        archiver.restore("d1")
    files = archiver.archive.store
    delete = files.delete

    def delete_one(names: list[str]) -> int:
        delete(names[:1])
        raise Killed

    files.delete = delete_one  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        archiver.archive_sessions(["d1"])
    assert len(files_of(root)) == 3
    archiver = make_archiver()
    archiver.restore("d1")
    archiver.archive_sessions(["d1"])
    assert len(files_of(root)) == 1


@pytest.mark.parametrize("lost", [True, False], ids=["after a loss", "in quarantine"])
def test_file_that_the_session_did_not_come_from_stays_beside(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, root: Path, lost: bool
) -> None:
    """The session began anew without it, with a newer generation: the file is the only copy."""
    own = come_and_go(store, "d1", *SAMPLES)
    archiver.archive_sessions(["d1"])
    name = str(store.archive_index.name_of("d1"))
    if lost:
        empty(client, store)
        store.ownership.reclaim(0, A, [holding(own, "aaaa.1")])
        store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
    else:
        item = archiver.archive.store.quarantine(name, "a disk that lied for a moment")
        store.archive_index.forget("d1", name)
        come_and_go(store, "d1", ("k", 1))
        assert archiver.archive.store.unquarantine(str(item)) == name
    for _ in range(2):
        assert [done.word for done in archiver.archive_sessions(["d1"])] == ["archived"]
        archiver.restore("d1")
    assert len(files_of(root)) == 2
    record = archiver.archive.load(name)
    assert record is not None
    assert set(record.body["data"]) == set(ALL)


def test_session_of_an_earlier_version_comes_back_and_its_file_is_superseded(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """Its name has no capture, its header no life."""
    come_and_go(store, "d1", *SAMPLES)
    archiver.archive_sessions(["d1"])
    name = str(store.archive_index.name_of("d1"))
    record = archiver.archive.load(name)
    assert record is not None
    archiver.delete("d1")
    store.runner.client.delete(store.keys.tombstone("d1"))
    earlier = dataclasses.replace(record, capture="", life="", came_from="")
    archiver.archive.save([earlier])
    assert store.archive_index.add(0, [index_entry(earlier)]) == ["ok"]

    assert values(read(archiver, "d1")) == ALL
    assert archiver.register("d1", node_id=B, sid="bbbb.1").restored
    store.ownership.disconnect(
        0, B, [("d1", "bbbb.1", int(store.index.get("d1")["generation"]))], "gone"
    )  # type: ignore[index]
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["archived"]
    assert values(read(archiver, "d1")) == ALL
    assert len(files_of(root)) == 1
    assert earlier.name not in archiver.archive.store.list()


def test_import_takes_back_its_own_file_only(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Two import one file at once; a device came for the session that the first one brought."""
    now = store.now_ms()
    record = Record("d1", 5, 7, now, {}, _body(), new_capture(now))
    save, other = archiver.archive.save, make_archiver()

    def save_late(batch: Any) -> list[str]:
        assert _take(other, record) == "imported"
        assert other.register("d1", node_id=B, sid="bbbb.1").restored
        return save(batch)

    archiver.archive.save = save_late  # type: ignore[method-assign]
    assert _take(archiver, record) == "live"
    came_from = (store.index.get("d1") or {})["archived_as"]
    assert archiver.archive.store.list() == [came_from]


def _body() -> dict[str, Any]:
    lists: dict[str, Any] = {key: [] for key in ("undo", "redo", "timeline", "commands_done")}
    fields = {"session_id": "d1", "created_at": "1"}
    return {"fields": fields, "data": {"k": [[1, 1.5]]}, "setup": None, "commands": {}, **lists}
