"""The flapping window: how often an id may register, whatever is done to its session meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from service import errors
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.sessions.model import Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store

A = "host-aaaa"
LIMIT = 4


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, flapping_registers=LIMIT, flapping_window_ms=10_000)


def register(store: RedisSessionStore, number: int) -> Registration:
    return store.ownership.register("d1", node_id=A, sid=f"aaaa.{number}")


def delete(store: RedisSessionStore, folder: Path, number: int) -> None:
    assert store.cleanup.delete("d1") is not None


def archive(store: RedisSessionStore, folder: Path, number: int) -> None:
    files = FileArchiveStore(folder)
    files.open(files.claim())
    archiver = Archiver(store, Archive(files))
    generation = int((store.index.get("d1") or {})["generation"])
    store.ownership.disconnect(0, A, [("d1", f"aaaa.{number}", generation)], "test")
    assert [one.word for one in archiver.archive_sessions(["d1"])] == ["archived"]
    assert archiver.restore("d1")


@pytest.mark.parametrize("between", [delete, archive])
def test_flapping_window_survives_what_happens_to_the_session(
    store: RedisSessionStore,
    tmp_path: Path,
    between: Callable[[RedisSessionStore, Path, int], None],
) -> None:
    """Neither archiving nor deleting it lets an id register more often."""
    for number in range(LIMIT):
        register(store, number)
        between(store, tmp_path / "archive", number)
    with pytest.raises(errors.Flapping) as refused:
        register(store, LIMIT)
    assert 0 < refused.value.fields["retry_after_s"] <= 10
    assert 0 < store.runner.client.pttl(store.keys.registers("d1")) <= 10_000


def test_flapping_window_after_the_clock_jumped_back_refuses_nobody_for_long(
    store: RedisSessionStore,
) -> None:
    """Registers that seem to be in the future do not count: who is refused waits for a window at most."""
    for number in range(LIMIT):
        register(store, number)
    in_an_hour = store.now_ms() + 3_600_000
    key = store.keys.registers("d1")
    store.runner.client.delete(key)
    store.runner.client.rpush(key, *[in_an_hour] * LIMIT)
    assert register(store, LIMIT).resumed
