"""The archiver, cleanup and bulk commands: one session that cannot be handled is told, and the others are done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service import errors
from service.archive.errors import ArchiveUnavailable
from service.archiving.archiver import Archiver
from service.config.settings import RetentionSettings
from service.manager.bulk import Batches, command_id_of, run_batch
from service.manager.cleanup import clean_up
from service.manager.manager import SessionManager
from service.sessions.store.store import RedisSessionStore
from tests.support.many import BAD, GOOD, IDS, only, spoil, states
from workers import archive


@pytest.mark.parametrize("batch", [1, 2, 4, 100])
def test_sweep_archives_all_but_the_one_that_the_disk_refuses(
    inactive: None, store: RedisSessionStore, archiver: Archiver, root: Path, batch: int
) -> None:
    spoil(root)
    outcome = archive.archive_all(archiver, iter(IDS), batch, lambda: False)
    if batch > 1:
        assert (outcome.archived, outcome.left, outcome.error) == (8, {"failed": 1}, "")
        assert states(store) == only("inactive", "archived")
    else:  # alone in its run it cannot be told from a disk that is full
        assert outcome.error


def test_sweep_archives_all_but_the_one_that_cannot_be_written_as_a_record(
    inactive: None, store: RedisSessionStore, archiver: Archiver
) -> None:
    store.runner.client.hset(store.keys.session(BAD), "rev", "odd")
    done = archiver.archive_sessions(IDS)
    assert {one.session_id: one.word for one in done} == only("failed", "archived")


def test_sweep_archives_all_but_the_one_that_cannot_be_read(
    inactive: None, store: RedisSessionStore, archiver: Archiver
) -> None:
    store.runner.client.delete(store.keys.timeline(BAD))
    store.runner.client.set(store.keys.timeline(BAD), "no list")
    done = archiver.archive_sessions(IDS)
    assert {one.session_id: one.word for one in done} == only("failed", "archived")


def test_full_disk_is_told_after_a_few_sessions(
    inactive: None, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not after each of a million."""
    calls: list[int] = []

    def full(files: list[tuple[str, bytes]]) -> None:
        calls.append(len(files))
        raise ArchiveUnavailable("full")

    monkeypatch.setattr(archiver.archive.store, "put", full)
    outcome = archive.archive_all(archiver, iter(IDS), 100, lambda: False)
    assert outcome.error == "full"
    assert outcome.archived == 0
    assert len(calls) < len(IDS)


def test_purge_removes_all_but_the_one_whose_file_cannot_be(
    archived: None, store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    spoil(root)
    stamps = dict.fromkeys(IDS, 1)
    store.runner.client.zadd(store.keys.archived(0), stamps)
    assert archive.purge(archiver, RetentionSettings(days=1), 3) == 8
    assert states(store) == only("archived", "gone")


# -- cleanup


def test_cleanup_with_purge_deletes_all_but_one(
    inactive: None, store: RedisSessionStore, manager: SessionManager, root: Path
) -> None:
    spoil(root)
    cleaned = clean_up(manager, 1, 1000, purge=True)
    assert (sorted(cleaned.removed), cleaned.failed) == (GOOD, {BAD: "store_unavailable"})
    assert states(store) == only("inactive", "gone")


def test_cleanup_archives_all_but_one(
    inactive: None, store: RedisSessionStore, manager: SessionManager, root: Path
) -> None:
    spoil(root)
    cleaned = clean_up(manager, 1, 1000, purge=False)
    assert (sorted(cleaned.removed), cleaned.failed) == (GOOD, {BAD: "store_unavailable"})
    assert states(store) == only("inactive", "archived")


def test_cleanup_of_what_only_fails_says_that_there_is_no_more(
    inactive: None, manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who calls again as long as there is more comes to an end."""

    def refuse(session_id: str, expected: str = "") -> None:
        raise ValueError("odd")

    monkeypatch.setattr(manager, "delete_session", refuse)
    cleaned = clean_up(manager, 1, 3, purge=True)
    assert (cleaned.removed, set(cleaned.failed.values()), cleaned.more) == (
        [],
        {"internal"},
        False,
    )


def test_cleanup_ends_when_redis_is_away(
    inactive: None, manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is about all of them."""
    calls: list[str] = []

    def refuse(session_id: str, expected: str = "") -> None:
        calls.append(session_id)
        raise errors.StoreUnavailable

    monkeypatch.setattr(manager, "delete_session", refuse)
    with pytest.raises(errors.StoreUnavailable):
        clean_up(manager, 1, 1000, purge=True)
    assert len(calls) == 1


# -- bulk commands


class Jobs:
    def enqueue_batch(self, batch_id: str) -> None: ...


@pytest.mark.parametrize("by", ["ids", "filter"])
def test_bulk_command_reaches_all_but_one(
    inactive: None,
    store: RedisSessionStore,
    manager: SessionManager,
    archiver: Archiver,
    root: Path,
    by: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An archived device whose file cannot be read; of a filter, one that does what nobody expected."""
    request: dict[str, Any] = {"command": "go", "params": None, "ttl_s": 60}
    if by == "ids":
        archiver.archive_sessions([BAD])
        spoil(root)
        code = "store_unavailable"
    else:
        request["filter"] = {"state": "all"}
        real, code = manager.queue_command, "internal"

        def odd(session_id: str, *given: Any, **options: Any) -> Any:
            if session_id == BAD:
                raise ValueError("odd")
            return real(session_id, *given, **options)

        monkeypatch.setattr(manager, "queue_command", odd)
    batches = Batches(store, Jobs(), 64 << 10)
    batch_id = batches.start(request, IDS if by == "ids" else None)["batch_id"]
    assert run_batch(manager, batch_id) == 9
    shown = batches.show(batch_id, limit=100)
    assert shown["state"] == "done"
    assert shown["statuses"] == {"queued": 8, "refused": 1}
    [refused] = [one for one in shown["devices"] if one["status"] == "refused"]
    assert (refused["session_id"], refused["error"]["code"]) == (BAD, code)
    assert store.commands.get(GOOD[-1], command_id_of(batch_id, GOOD[-1]))
