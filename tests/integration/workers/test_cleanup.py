"""Cleanup takes what is unused for long enough, all of it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archived, Archiver
from service.manager import cleanup as module
from service.manager.cleanup import clean_up, find_unused
from service.manager.manager import SessionManager
from service.sessions.model import NewCommand
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import Silent
from tests.support.nodes.stores import make_store

A = "host-aaaa"
HOUR_MS = 3_600_000


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, 3, flapping_registers=0)


@pytest.fixture
def manager(store: RedisSessionStore, tmp_path: Path) -> SessionManager:
    files = FileArchiveStore(tmp_path / "archive")
    files.open(files.claim())
    return SessionManager(store, Silent(), archiver=Archiver(store, Archive(files)))


def made(store: RedisSessionStore, session_id: str, hours: float, *, idle: bool = False) -> None:
    """A session whose last activity is so long ago; `idle`: it never had a connection."""
    client, keys = store.runner.client, store.keys
    partition, then = keys.partition(session_id), store.now_ms() - round(hours * HOUR_MS)
    store.ownership.create(session_id)
    stamps = dict.fromkeys(("last_update", "last_activity", "created_at"), then)
    client.hset(keys.session(session_id), mapping=stamps)
    if idle:
        client.zadd(keys.idle(partition), {session_id: then})
    else:
        store.cleanup.deactivate([session_id])
        client.hset(keys.session(session_id), mapping=stamps)
        client.zadd(keys.inactive(partition), {session_id: then})


def found(store: RedisSessionStore, *, purge: bool = True, limit: int = 100) -> set[str]:
    return {session_id for session_id, _ in find_unused(store, 10, limit, purge=purge)[0]}


def test_only_what_is_unused_for_long_is_found(store: RedisSessionStore) -> None:
    """Whichever index says so: what is there about the session itself counts."""
    made(store, "old", 11)
    made(store, "idle", 11, idle=True)
    made(store, "young", 9)
    made(store, "joined", 11)
    store.ownership.join("joined", A, "aaaa.7")
    made(store, "updated", 11)  # an index may be older than the session
    store.runner.client.hset(store.keys.session("updated"), "last_update", store.now_ms())
    old = store.now_ms() - 11 * HOUR_MS
    store.runner.client.hset(store.keys.session("joined"), "last_activity", old)
    for session_id in ("joined", "updated"):
        key = store.keys.inactive(store.keys.partition(session_id))
        store.runner.client.zadd(key, {session_id: old})
    store.ownership.register("connected", node_id=A, sid="aaaa.1")
    assert found(store) == {"old", "idle"}
    made(store, "busy", 11)
    store.commands.add("busy", NewCommand("c1", "go", "null", HOUR_MS))
    stamps = dict.fromkeys(("last_update", "last_activity", "created_at"), 1)
    store.runner.client.hset(store.keys.session("busy"), mapping=stamps)
    assert found(store) == {"old", "idle", "busy"}
    assert found(store, purge=False) == {"old", "idle"}


def test_all_pages_of_all_partitions_are_looked_at(
    store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_SESSIONS", 2)
    ids = {f"{kind}-{number}" for kind in ("was", "idle") for number in range(15)}
    assert {store.keys.partition(one) for one in ids} == {0, 1, 2}
    for session_id in ids:
        made(store, session_id, 11, idle=session_id.startswith("idle"))
    assert found(store) == ids
    some, more = find_unused(store, 10, 7, purge=True)
    assert (len(some), more) == (7, True)


@pytest.mark.parametrize("purge", [True, False])
def test_session_that_changes_between_being_found_and_taken_stays(
    store: RedisSessionStore,
    manager: SessionManager,
    monkeypatch: pytest.MonkeyPatch,
    purge: bool,
) -> None:
    for session_id in ("a", "b"):
        made(store, session_id, 11)
    find = module.find_unused

    def then_somebody_comes(*args: object, **options: object) -> object:
        unused = find(*args, **options)  # type: ignore[arg-type]
        store.ownership.register("a", node_id=A, sid="aaaa.1")
        return unused

    monkeypatch.setattr(module, "find_unused", then_somebody_comes)
    cleaned = clean_up(manager, 10, 100, purge=purge)
    assert (cleaned.removed, cleaned.failed) == (["b"], {})
    assert (store.index.get("a") or {})["is_connected"] == "1"


def test_cleanup_whose_disk_refuses_on_the_way_says_that_there_is_more(
    store: RedisSessionStore, manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for session_id in ("a", "b"):
        made(store, session_id, 11)
    some = [Archived("a", "archived")], ArchiveUnavailable("no space left")
    monkeypatch.setattr(module, "archive_each", lambda *_: some)
    cleaned = clean_up(manager, 10, 100, purge=False)
    assert (cleaned.removed, cleaned.more) == (["a"], True)
