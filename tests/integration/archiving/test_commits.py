"""Commits of captured sessions: what each is answered, and where what was committed stands."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import redis

from service.archiving.archiver import Archiver
from service.archiving.read_ahead import ReadAhead
from service.sessions.model import NewCommand
from service.sessions.store.archive_index import Commit, IndexEntry
from service.sessions.store.devices import Said
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import NUMBERS, B, come_and_go
from tests.support.nodes.stores import part


def captured(archiver: Archiver) -> Commit:
    """Read d1 as an archiver does, which then waits with its commit."""
    [file] = ReadAhead(archiver.store, archiver.archive).prepare(["d1"]).files
    return file.commit


def answer(store: RedisSessionStore, commit: Commit, **changes: Any) -> tuple[str, str]:
    [done] = store.archive_index.commit([dataclasses.replace(commit, **changes)])
    return done.word, done.name


def test_commit_whose_reply_was_lost_is_one(store: RedisSessionStore, archiver: Archiver) -> None:
    come_and_go(store, "d1", ("k", 1))
    commit = captured(archiver)
    assert answer(store, commit)[0] == "ok"
    assert answer(store, commit)[0] == "ok"
    assert store.archive_index.name_of("d1") == commit.name


def test_second_archiver_of_one_state_may_remove_its_file_unless_redis_lost_something(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    come_and_go(store, "d1", ("k", 1))
    late, first = captured(archiver), captured(archiver)
    assert answer(store, first)[0] == "ok"
    assert answer(store, late) == ("newer", first.name)
    assert answer(store, late, life="another")[0] == "older"


def test_archiver_of_a_former_state_may_remove_its_file_unless_redis_lost_something(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    come_and_go(store, "d1", ("k", 1))
    late = captured(archiver)
    store.samples.append(0, B, next(NUMBERS), [part("d1", None, ("k", 2))])
    assert answer(store, late)[0] == "newer"
    assert answer(store, late, life="another")[0] == "older"


def test_file_of_a_session_stays_that_was_made_anew(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis
) -> None:
    """It is another session of that name, which has not what the file has."""
    come_and_go(store, "d1", ("k", 1))
    late = captured(archiver)
    store.cleanup.delete("d1")
    client.delete(store.keys.tombstone("d1"))  # an hour later
    come_and_go(store, "d1", ("k", 2))
    assert answer(store, late)[0] == "older"


@pytest.mark.parametrize(("left_ms", "word"), [(60_000, "ok"), (-1, "busy")])
def test_sleeper_leaves_redis_until_its_deadline(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, left_ms: int, word: str
) -> None:
    """Then it is not for the archive to say what it is."""
    store.devices.report("d1", Said(expect_every_ms=60_000), create=True)
    commit = captured(archiver)
    client.zadd(store.keys.deadlines(0), {"d1": store.now_ms() + left_ms})
    assert answer(store, commit)[0] == word
    assert (client.zscore(store.keys.asleep(0), "d1") is None) == (word == "ok")


def test_sleeper_that_is_forgotten_stands_nowhere_and_is_shown_as_removed(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis
) -> None:
    """Its file is gone or bad."""
    store.devices.report("d1", Said(project_id="p1", expect_every_ms=60_000), create=True)
    commit = captured(archiver)
    assert answer(store, commit)[0] == "ok"
    assert not store.archive_index.forget("d1", f"{commit.name}x")
    keys = store.keys
    sets = [keys.active(0), keys.deadlines(0), keys.project(0, "p1")]
    assert [client.zscore(one, "d1") is None for one in sets] == [False] * 3
    assert store.archive_index.forget("d1", commit.name)
    assert [client.zscore(one, "d1") is None for one in sets] == [True] * 3
    removed = client.xrevrange(keys.feed(0), count=1)[0][1]
    assert removed == {"removed": "d1", "project_id": "p1"}


def test_restored_session_has_no_clients_whatever_its_file_says(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """It may be an import."""
    come_and_go(store, "d1", ("k", 1))
    commit = captured(archiver)
    snapshot = store.index.read("d1", entire=True)
    assert snapshot is not None
    assert answer(store, commit)[0] == "ok"
    said = dataclasses.replace(snapshot, fields={**snapshot.fields, "active_clients": "3"})
    assert store.archive_index.restore(said, commit.name).word == "ok"
    [found] = store.index.summaries(["d1"])
    assert found is not None
    assert found["active_clients"] == "0"


def test_archived_session_that_is_indexed_anew_is_as_old_as_it_was(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """Its retention goes on."""
    summary = {"session_name": "d1", "created_at": "1"}
    name = "abcd/d1~1-1.json.zst"
    for archived_ms in (5_000, 9_000):
        entry = IndexEntry("d1", name, 1, archived_ms // 1_000, archived_ms, summary)
        assert store.archive_index.add(0, [entry]) == ["ok"]
    assert client.zscore(store.keys.archived(0), "d1") == 5_000


def test_restored_session_knows_which_commands_ended_first(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis
) -> None:
    """These go first when there are more."""
    come_and_go(store, "d1", ("k", 1))
    for number in (3, 1, 2):
        store.commands.add("d1", NewCommand(f"c{number}", "go", "{}", 60_000))
    for number in (2, 3, 1):
        store.commands.cancel("d1", f"c{number}")
    assert [one.word for one in archiver.archive_sessions(["d1"])] == ["archived"]
    assert archiver.restore("d1")
    assert client.lrange(store.keys.commands_done("d1"), 0, -1) == ["c2", "c3", "c1"]
