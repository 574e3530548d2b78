"""What a node still holds when Redis was emptied: restored from its file, then reclaimed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from service import errors
from service.archive.errors import ArchiveUnavailable
from service.archiving.archiver import Archiver
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import NUMBERS, A, B, come_and_go, files_of
from tests.support.nodes.stores import holding, part


def empty(store: RedisSessionStore) -> None:
    """FLUSHALL, as far as this service's keys go."""
    client = store.runner.client
    client.delete(*client.scan_iter(f"{store.keys.prefix}:*"))


def test_reclaim_in_an_emptied_redis_restores_an_older_file_first(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """The device went on after it was restored, and stays connected: its history is not hidden."""
    come_and_go(store, "d1", ("a", 1), ("a", 2), ("b", "x"))
    store.setups.put("d1", b'{"mode":1}')
    archiver.archive_sessions(["d1"])
    own = archiver.register("d1", node_id=B, sid="bbbb.1", session_name="new name", stream="run")
    assert own.restored
    assert len(files_of(root)) == 1
    sent = part("d1", own.generation, ("a", 3), ("a", 4), seq=(4, 5), stream="run")
    rev = store.samples.append(0, B, next(NUMBERS), [sent])[0].value
    empty(store)

    held = dataclasses.replace(
        holding(own, "bbbb.1", rev=rev), stream="run", last_seq=5, project_id="p2"
    )
    assert archiver.reclaim(0, B, [held]) == [("ok", None)]

    details = store.index.details("d1")
    assert details is not None
    assert [value for value, _ in details["data"]["a"]] == [1, 2]
    assert details["telemetry"] == {"a": 2, "b": "x"}
    assert details["setup"] == {"mode": 1}
    row = store.index.get("d1") or {}
    assert int(row["rev"]) >= rev  # nothing that was acked looks as if it had not been
    assert (row["stream"], row["last_seq"]) == ("run", "5")
    assert (row["session_name"], row["project_id"]) == ("new name", "p2")
    assert (row["state"], row["sid"]) == ("active", "bbbb.1")
    client = store.runner.client
    assert client.zscore(store.keys.project(0, "p1"), "d1") is None
    assert client.zscore(store.keys.project(0, "p2"), "d1") is not None
    again = part("d1", own.generation, ("a", 5), seq=(6, 6), stream="run")
    assert store.samples.append(0, B, next(NUMBERS), [again])[0].word == "ok"


def test_reclaim_leaves_what_cannot_be_read_and_takes_the_others(
    store: RedisSessionStore, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made from what is held, it would hide what is in its file."""
    held = []
    for name in ("d1", "d2"):
        come_and_go(store, name, ("a", 1))
        archiver.archive_sessions([name])
        held.append(holding(archiver.register(name, node_id=B, sid=f"bbbb.{name}"), f"bbbb.{name}"))
    empty(store)
    find = archiver.archive.store.find

    def away(session_id: str) -> list[str]:
        if session_id == "d1":
            raise ArchiveUnavailable("its folder cannot be read")
        return find(session_id)

    monkeypatch.setattr(archiver.archive.store, "find", away)
    with pytest.raises(errors.StoreUnavailable):
        archiver.reclaim(0, B, held)
    assert store.index.get("d1") is None
    assert (store.index.details("d2") or {})["telemetry"] == {"a": 1}


def test_reclaim_of_a_device_that_was_never_archived_makes_it_from_what_is_held(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    own = archiver.register("d1", node_id=A, sid="aaaa.1", session_name="Kiosk")
    empty(store)
    assert archiver.reclaim(0, A, [holding(own, "aaaa.1")]) == [("ok", None)]
    assert (store.index.get("d1") or {})["session_name"] == "Kiosk"


def test_reclaim_where_redis_fell_back_raises_what_was_acked(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """A promoted replica was behind by some updates; the owner is the same."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1", stream="run")

    held = dataclasses.replace(holding(own, "aaaa.1", rev=own.rev + 7), stream="run", last_seq=7)
    assert archiver.reclaim(0, A, [held]) == [("ok", None)]
    row = store.index.get("d1") or {}
    assert (int(row["rev"]), row["last_seq"]) == (own.rev + 7, "7")
