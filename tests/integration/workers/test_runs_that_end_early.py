"""Runs of archive work that end before all is done: the next one goes on, and a disk that refuses is left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from service.archive.errors import ArchiveUnavailable
from service.archiving.archiver import Archiver
from service.config.settings import RetentionSettings
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.quiet_sessions import DAY_MS, gone, sweep
from workers import archive


def batches(count: int) -> Callable[[float], Callable[[], bool]]:
    """A run that has time for so many batches."""

    def run_for(_seconds: float) -> Callable[[], bool]:
        looks = iter([False] * count)
        return lambda: next(looks, True)

    return run_for


def test_purge_goes_on_behind_what_is_kept(
    store: RedisSessionStore, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise what is kept for ever would be all that is ever looked at."""
    if store.keys.partitions > 1:
        names = [f"d{n}" for n in range(60) if store.keys.partition(f"d{n}") == 0][:6]
    else:
        names = [f"d{n}" for n in range(6)]
    for number, name in enumerate(names):
        gone(store, name, 200, session_name="gold" if number < 4 else "")
    sweep(archiver)
    for number, name in enumerate(names):
        key, then = store.keys.archived(0), store.now_ms() - (90 - number) * DAY_MS
        store.runner.client.zadd(key, {name: then})
    rules = RetentionSettings(days=10, names={"gold": 0})
    monkeypatch.setattr(archive, "run_for", batches(1))
    assert [archive.purge(archiver, rules, 2) for _ in range(4)] == [0, 0, 2, 0]
    assert store.upkeep.read()["purged"] == "2"
    monkeypatch.setattr(archive, "run_for", batches(60))
    assert (
        archive.purge(archiver, RetentionSettings(days=10), 2) == 4
    )  # the next round begins with the oldest


def test_archival_ends_where_the_disk_refuses(
    store: RedisSessionStore, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        gone(store, f"d{number}", 200)

    write, room = archiver.archive.store.put, iter([True])

    def put(files: Sequence[tuple[str, bytes]]) -> None:
        if not next(room, False):
            raise ArchiveUnavailable("no space left")
        write(files)

    monkeypatch.setattr(archiver.archive.store, "put", put)
    waiting = iter([f"d{number}" for number in range(6)])
    outcome = archive.archive_all(archiver, waiting, 2, lambda: False)
    assert (outcome.archived, outcome.error) == (2, "no space left")
    assert list(waiting) == ["d4", "d5"]
    counted = store.upkeep.read()
    assert (counted["archived"], counted["archive_failures"]) == ("2", "1")
