"""A store, an archive and nine sessions in one or in the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.manager.manager import SessionManager
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import Silent
from tests.support.many import IDS
from tests.support.nodes.stores import make_store


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, flapping_registers=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def archiver(store: RedisSessionStore, root: Path) -> Archiver:
    files = FileArchiveStore(root)
    files.open(files.claim())
    return Archiver(store, Archive(files))


@pytest.fixture
def manager(store: RedisSessionStore, archiver: Archiver) -> SessionManager:
    return SessionManager(store, Silent(), archiver=archiver)


@pytest.fixture
def inactive(store: RedisSessionStore, manager: SessionManager) -> None:
    """Sessions, the longest inactive first, long ago."""
    for place, session_id in enumerate(IDS):
        store.ownership.create(session_id, project_id="p")
        manager.update_telemetry(session_id, {"k": session_id})
        then = store.now_ms() - (100 - place) * 3_600_000
        stamps = dict.fromkeys(("last_update", "last_activity", "created_at"), then)
        store.runner.client.hset(store.keys.session(session_id), mapping=stamps)
    store.cleanup.deactivate(IDS)
    for place, session_id in enumerate(IDS):
        then = store.now_ms() - (100 - place) * 3_600_000
        store.runner.client.zadd(store.keys.inactive(0), {session_id: then})


@pytest.fixture
def archived(inactive: None, archiver: Archiver) -> None:
    assert {one.word for one in archiver.archive_sessions(IDS)} == {"archived"}
