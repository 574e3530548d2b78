"""Redis's files are of an earlier time than the archive: a backup was put back, a replica that was behind took over."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from service import errors
from service.archive import walk
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.archiving.unquarantine import bring_forward
from service.cli.archive.imports import _headers, _index
from service.sessions.model import AppendPart, NewCommand
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer
from tests.support.archive.archiving import (
    NUMBERS,
    A,
    B,
    come_and_go,
    files_of,
    place_of,
    read,
    values,
)
from tests.support.nodes.stores import make_store, part
from tests.support.waiting import wait_until

NEW = {"k": [1, 2, 3]}

Backup = Callable[[], Callable[[], None]]


@pytest.fixture
def backup(
    redis_factory: Callable[..., redis.Redis], store: RedisSessionStore, key_prefix: str
) -> Backup:
    """Copies Redis's keys; what it returns puts them back, as those of another life."""
    raw = redis_factory()

    def copy() -> Callable[[], None]:
        store.samples.open_feed(0)
        kept = {key: raw.dump(key) for key in raw.scan_iter(f"{key_prefix}:*")}

        def put_back() -> None:
            for key in list(raw.scan_iter(f"{key_prefix}:*")):
                raw.delete(key)
            for key, data in kept.items():
                raw.restore(key, 0, data)
            raw.hset(store.keys.epoch(0), "epoch", "after a restart")

        return put_back

    return copy


def live_on(store: RedisSessionStore, archiver: Archiver) -> None:
    """The device came once more, and its session was archived."""
    come_and_go(store, "d1", ("k", 2), ("k", 3), sid="aaaa.7")
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["archived"]


def _part(*samples: tuple[str, Any]) -> AppendPart:
    return part("d1", None, *samples)


def reindex(archiver: Archiver) -> dict[str, int]:
    counts: dict[str, int] = {}
    _index(archiver, [entry for entry in _headers(archiver.archive) if entry], counts)
    return counts


def beside(archiver: Archiver) -> list[str]:
    return [verdict.name for verdict in walk.verdicts(archiver.archive) if verdict.beside]


@pytest.mark.parametrize("then", ["connected", "inactive", "archived"])
def test_reindex_after_a_restored_backup_shows_the_newer_state(
    store: RedisSessionStore, archiver: Archiver, backup: Backup, root: Path, then: str
) -> None:
    """Whatever the session was when Redis was copied: what the archive got since is what it is."""
    if then == "connected":
        own = store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="p0")
        store.ownership.join("d1", A, "aaaa.person")
        store.commands.add("d1", NewCommand("c1", "go", "null", 60_000))
        put_back = backup()
        store.commands.finish("d1", own.generation, "c1", ok=True)
        store.ownership.leave("d1", A, "aaaa.person")
        store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
    else:
        come_and_go(store, "d1", ("k", 1))
        if then == "archived":
            archiver.archive_sessions(["d1"])
        put_back = backup()
    if then == "archived":
        archiver.restore("d1")
    live_on(store, archiver)
    newest = (read(archiver, "d1") or {})["rev"]
    put_back()
    store.runner.client.delete(store.keys.leases(0))  # whoever was connected is long gone

    assert reindex(archiver) == {"ok" if then == "archived" else "newer": 1}
    assert place_of(store, root) == "archived"
    expected = {"k": [2, 3]} if then == "connected" else NEW
    assert values(read(archiver, "d1")) == expected
    assert (read(archiver, "d1") or {})["rev"] == newest
    assert store.index.counts() == {"active": 0, "inactive": 0, "archived": 1}
    assert store.index.page("archived", project_id="p1").items[0]["rev"] == str(newest)
    assert store.index.page("inactive", project_id="p0").items == []
    assert reindex(archiver) == {"known": 1}
    back = archiver.register("d1", node_id=B, sid="bbbb.1")
    assert (back.restored, back.undelivered) == (True, 0)
    assert values(store.index.details("d1")) == expected


def test_reindex_tells_dashboards_of_the_newer_state(
    store: RedisSessionStore, archiver: Archiver, backup: Backup, client: redis.Redis
) -> None:
    """The feed has it with the newer rev, as archived."""
    come_and_go(store, "d1", ("k", 1))
    put_back = backup()
    live_on(store, archiver)
    newest = str((read(archiver, "d1") or {})["rev"])
    put_back()
    reindex(archiver)
    _, last = client.xrange(store.keys.feed(0))[-1]
    assert (last["state"], last["rev"], last["project_id"]) == ("archived", newest, "p1")


@pytest.mark.parametrize(
    "change", ["connected", "let go", "looked at", "update", "setup", "command"]
)
def test_reindex_leaves_what_somebody_is_connected_to_or_changed_since(
    store: RedisSessionStore, archiver: Archiver, backup: Backup, change: str
) -> None:
    """Nothing that was acked since is lost: the newer file stays beside it, and `reindex` counts it."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.samples.append(0, A, next(NUMBERS), [_part(("k", 1))])
    if change not in ("connected", "let go"):
        store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
    put_back = backup()
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
    live_on(store, archiver)
    newer = str(store.archive_index.name_of("d1"))
    put_back()
    match change:
        case "connected":  # its node lives, and renews its lease
            store.ownership.renew(A)
        case "let go":
            store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "lease_expired")
        case "looked at":
            store.ownership.join("d1", B, "bbbb.2")
        case "update":
            store.samples.append(0, B, next(NUMBERS), [_part(("k", 9))])
        case "setup":
            store.setups.put("d1", b"1")
        case _:
            store.commands.add("d1", NewCommand("c1", "go", "null", 60_000))
    before = store.index.read("d1", entire=True)
    assert before is not None
    assert reindex(archiver) == {"beside": 1}
    after = store.index.read("d1", entire=True)
    assert after is not None
    assert dataclasses.replace(after, read_ms=before.read_ms) == before
    assert newer in archiver.archive.store.list()


def test_archival_of_an_older_state_leaves_the_newer_file_and_it_can_be_put_back(
    store: RedisSessionStore, archiver: Archiver, backup: Backup, root: Path
) -> None:
    """Nobody reindexed; the device came again, with a new generation, and was archived twice."""
    come_and_go(store, "d1", ("k", 1))
    put_back = backup()
    live_on(store, archiver)
    newer = str(store.archive_index.name_of("d1"))
    put_back()
    for value in (8, 9):
        own = archiver.register("d1", node_id=B, sid="bbbb.1")
        store.samples.append(0, B, next(NUMBERS), [_part(("k", value))])
        store.ownership.disconnect(0, B, [("d1", "bbbb.1", own.generation)], "gone")
        assert [done.word for done in archiver.archive_sessions(["d1"])] == ["archived"]
    later = str(store.archive_index.name_of("d1"))
    assert beside(archiver) == [newer]
    assert len(files_of(root)) == 2

    shown = bring_forward(archiver, newer)
    assert store.archive_index.name_of("d1") == shown
    assert values(read(archiver, "d1")) == NEW
    assert beside(archiver) == [later]
    assert reindex(archiver) == {"known": 1}
    assert archiver.register("d1", node_id=B, sid="bbbb.1").restored
    assert values(store.index.details("d1")) == NEW
    store.ownership.disconnect(
        0, B, [("d1", "bbbb.1", int((store.index.get("d1") or {})["generation"]))], "gone"
    )

    again = bring_forward(archiver, later)  # and the other way, from a session that is in Redis
    assert store.archive_index.name_of("d1") == again
    assert values(read(archiver, "d1")) == {"k": [1, 8, 9]}
    assert len(beside(archiver)) == 1


def test_put_back_of_a_file_whose_session_is_connected_changes_nothing(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """Its session stays, and so does the file."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    name = str(store.archive_index.name_of("d1"))
    archiver.register("d1", node_id=B, sid="bbbb.1")
    with pytest.raises(errors.Conflict):
        bring_forward(archiver, name)
    assert place_of(store, root) == "active"
    assert archiver.archive.store.list() == [name]


def test_put_back_that_loses_against_a_device_takes_its_new_file_away(
    store: RedisSessionStore, archiver: Archiver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came between the archival and the index: it keeps what it has."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    name = str(store.archive_index.name_of("d1"))
    save = archiver.archive.save

    def save_late(batch: Any) -> list[str]:
        made = save(batch)
        archiver.register("d1", node_id=B, sid="bbbb.1")
        return made

    monkeypatch.setattr(archiver.archive, "save", save_late)
    with pytest.raises(errors.Conflict):
        bring_forward(archiver, name)
    assert place_of(store, root) == "active"
    assert archiver.archive.store.list() == [name]


def test_register_finds_the_newer_file_when_the_index_names_one_that_was_superseded(
    store: RedisSessionStore, archiver: Archiver, backup: Backup
) -> None:
    """A replica that was behind took over, and nobody reindexed: the device begins where it was."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    put_back = backup()
    archiver.restore("d1")
    live_on(store, archiver)
    put_back()
    assert values(read(archiver, "d1")) == NEW
    assert archiver.register("d1", node_id=B, sid="bbbb.1").restored
    assert values(store.index.details("d1")) == NEW


@pytest.mark.parametrize("how", ["a backup was restored", "a replica that was behind took over"])
def test_real_server_that_fell_back_never_makes_the_newer_file_go(
    own_server: RealServer, tmp_path: Path, how: str
) -> None:
    """Its run id or its replication id is another one, whatever its own files say: no node was there yet."""
    files = FileArchiveStore(tmp_path / "archive")
    files.open(files.claim())
    other = RealServer(tmp_path / "other", appendonly="always")
    clients = [redis.Redis.from_url(one.url, decode_responses=True) for one in (own_server, other)]
    try:
        store = make_store(clients[0], "muster", flapping_registers=0)
        archiver = Archiver(store, Archive(files))
        store.samples.open_feed(0)
        come_and_go(store, "d1", ("k", 1))
        if how == "a backup was restored":
            shutil.copytree(own_server.folder, other.folder)
            other.start()
        else:
            other.start()
            clients[0].config_set("repl-diskless-sync-delay", 0)
            clients[1].replicaof("127.0.0.1", own_server.port)
            wait_until(lambda: clients[1].exists(store.keys.session("d1")), 10)
            clients[1].replicaof("NO", "ONE")
        live_on(store, archiver)
        newer = str(store.archive_index.name_of("d1"))
        own_server.kill()

        behind = make_store(clients[1], "muster", flapping_registers=0)
        late = Archiver(behind, Archive(files))
        own = late.register("d1", node_id=B, sid="bbbb.1")
        behind.ownership.disconnect(0, B, [("d1", "bbbb.1", own.generation)], "gone")
        assert [done.word for done in late.archive_sessions(["d1"])] == ["archived"]
        assert beside(late) == [newer]
        bring_forward(late, newer)
        assert values(read(late, "d1")) == NEW
    finally:
        for client in clients:
            client.close()
        other.kill()
