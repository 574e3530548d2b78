"""Sessions leave Redis for the archive and come back whole, for devices, people and programs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from service.archive.errors import ArchiveUnavailable
from service.archiving.archiver import Archiver
from service.errors import SessionNotFound
from service.manager.manager import SessionManager
from service.sessions import model
from service.sessions.model import NewCommand
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import (
    NUMBERS,
    A,
    B,
    Silent,
    come_and_go,
    files_of,
    place_of,
    read,
    steps,
    values,
)
from tests.support.nodes.stores import keys_of, part

# -- there and back --


def test_archive_and_register_bring_back_the_whole_session(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, root: Path
) -> None:
    """Identity, histories, setup with steps, commands, seq, statistics: all as if it never left."""
    own = store.ownership.register(
        "d1", node_id=A, sid="aaaa.1", session_name="Kiosk", stream="run"
    )
    numbered = [("a", 1.5), ("b:c", {"x": [None, "é"]}), ("a", 2**53 + 1)]
    store.samples.append(
        0, A, next(NUMBERS), [part("d1", own.generation, *numbered, seq=(1, 3), stream="run")]
    )
    store.setups.put("d1", b'{"v": 1}')
    store.setups.put("d1", b'{"v": [], "w": {}}')
    store.setups.put("d1", b'{"v": 3}')
    store.setups.undo("d1")
    store.commands.add("d1", NewCommand("c1", "go", '{"n":[]}', 1000, idempotency_key="k"))
    store.commands.finish("d1", own.generation, "c1", ok=True, result_json='{"r":[]}')
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
    before = store.index.details("d1")
    assert before is not None

    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["archived"]
    assert place_of(store, root) == "archived"
    shown = read(archiver, "d1")
    assert shown is not None
    assert shown["state"] == "archived"
    assert shown["data"] == before["data"]
    assert place_of(store, root) == "archived", "reading does not restore"

    back = archiver.register("d1", node_id=B, sid="bbbb.1", stream="run")
    assert (back.restored, back.resumed, back.last_seq) == (True, True, 3)
    assert back.generation > own.generation
    assert back.rev > before["rev"]
    assert (back.setup, back.setup_version) == ({"v": [], "w": {}}, before["setup_version"])
    after = store.index.details("d1")
    assert after is not None
    same = ("data", "telemetry", "setup", "session_name", "created_at", "reported_version", "meta")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["statistics"]["updates"] == 3
    assert after["statistics"]["connects"] == 2
    events = [event["event"] for event in after["timeline"]]
    assert events[: len(before["timeline"])] == [e["event"] for e in before["timeline"]]
    assert events[len(before["timeline"]) :] == ["archived", "restored", "connected"]
    assert store.setups.redo("d1").setup == {"v": 3}
    assert store.setups.undo("d1").setup == {"v": [], "w": {}}
    assert store.commands.get("d1", "c1")["result"] == {"r": []}  # type: ignore[index]
    again = store.commands.add("d1", NewCommand("c2", "go", "null", 1000, idempotency_key="k"))
    assert again.command_id == "c1"
    assert {
        key for key in keys_of(client, store.keys.prefix, "d1") if client.pttl(key) < 0
    } == set()


def test_restore_brings_a_session_back_as_inactive_and_the_file_stays_until_the_next_commit(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """One authoritative place, never none: the superseded file goes when a newer one is committed."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    first = files_of(root)
    assert archiver.restore("d1")
    assert place_of(store, root) == "inactive"
    assert files_of(root) == first
    archiver.archive_sessions(["d1"])
    assert place_of(store, root) == "archived"
    assert len(files_of(root)) == 1
    assert files_of(root) != first


def test_rev_grows_over_many_turns(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """Whatever comes and goes, the rev never falls."""
    revs = []
    for turn in range(5):
        own = archiver.register("d1", node_id=A, sid=f"aaaa.{turn}")
        store.samples.append(0, A, next(NUMBERS), [part("d1", own.generation, ("k", turn))])
        revs.append(int(store.index.get("d1")["rev"]))  # type: ignore[index]
        store.ownership.disconnect(0, A, [("d1", f"aaaa.{turn}", own.generation)], "gone")
        archiver.archive_sessions(["d1"])
    assert revs == sorted(set(revs))
    assert values(read(archiver, "d1")) == {"k": [0, 1, 2, 3, 4]}
    assert len(files_of(root)) == 1


@pytest.mark.parametrize("why", ["active", "busy with a command", "busy with a client", "missing"])
def test_archive_leaves_what_is_not_quiet(
    store: RedisSessionStore, archiver: Archiver, root: Path, why: str
) -> None:
    """Active sessions, open commands and people that joined keep a session in Redis."""
    if why != "missing":
        own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
        if why != "active":
            store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
        if why == "busy with a command":
            store.commands.add("d1", NewCommand("c1", "go", "null", 60_000))
        if why == "busy with a client":
            store.ownership.join("d1", A, "aaaa.2")
    assert [done.word for done in archiver.archive_sessions(["d1"])] == [why.split()[0]]
    assert files_of(root) == []


# -- other programs --


def test_manager_reads_an_archived_session_and_brings_it_back_for_a_write(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """Reads never restore; a write does, and leaves the session inactive."""
    manager = SessionManager(store, Silent(), archiver=archiver)
    writes: list[Callable[[], Any]] = [
        lambda: manager.update_telemetry("d1", {"z": 1}),
        lambda: manager.patch_setup("d1", {"a": 2}),
        lambda: manager.undo_setup("d1"),
        lambda: manager.cancel_command("d1", manager.queue_command("d1", "go").command_id),
    ]
    come_and_go(store, "d1", ("k", 1))
    manager.update_setup("d1", {"a": 1})
    for write in writes:
        archiver.archive_sessions(["d1"])
        assert manager.get_session("d1")["state"] == "archived"  # type: ignore[index]
        assert manager.get_setup("d1").setup is not None
        assert place_of(store, root) == "archived"
        write()
        assert place_of(store, root) == "inactive"
    assert manager.get_setup("d1").setup == {"a": 1}
    assert manager.get_session("d1")["telemetry"] == {"k": 1, "z": 1}  # type: ignore[index]
    archiver.archive_sessions(["d1"])
    manager.delete_session("d1")
    assert manager.get_session("d1") is None
    with pytest.raises(SessionNotFound):
        manager.update_telemetry("d1", {"z": 1})


# -- lists and events --


def test_pages_over_inactive_and_archived_show_each_once(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """Lists go through several states with one cursor; archived ones are listed from the index."""
    for i in range(12):
        come_and_go(store, f"d{i:02}", ("k", i), sid=f"aaaa.{i}")
    archiver.archive_sessions([f"d{i:02}" for i in range(0, 12, 2)])
    for filters in ({}, {"project_id": "p1"}, {"q": "D"}):
        seen: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = store.index.page(("inactive", "archived"), limit=5, cursor=cursor, **filters)  # type: ignore[arg-type]
            seen += [model.summary(item) for item in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert sorted(one["session_id"] for one in seen) == [f"d{i:02}" for i in range(12)]
        assert [one["state"] for one in seen].count("archived") == 6
        assert page.total == (None if filters else 12)


def test_moves_are_in_the_feed(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis
) -> None:
    """Archived and restored are state changes that dashboards see, with a growing rev."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    archiver.restore("d1")
    archiver.archive_sessions(["d1"])
    archiver.delete("d1")
    entries = [fields for _, fields in client.xrange(store.keys.feed(0))]
    states = [fields["state"] for fields in entries if "state" in fields]
    assert states[-4:] == ["inactive", "archived", "inactive", "archived"]
    revs = [int(fields["rev"]) for fields in entries if "rev" in fields]
    assert revs == sorted(revs)
    assert "removed" in entries[-1]


# -- many at once --


def test_archive_of_many_sessions_of_all_sizes_keeps_each_whole(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """Portions are read and encoded in threads; every session gets its own file and nobody else's."""
    long = range(7, 240, 50)
    wanted = {
        f"d{i}": [f"{i}-{n}" * (500 if i in long else 1) for n in range(i % 5)] for i in range(240)
    }
    for session_id, texts in wanted.items():
        come_and_go(store, session_id, *(("k", text) for text in texts), sid=f"aaaa.{session_id}")
    busy = store.ownership.register("d100", node_id=A, sid="aaaa.back")
    words = {done.session_id: done.word for done in archiver.archive_sessions([*wanted, "nobody"])}
    assert words.pop("d100") == "active"
    assert words.pop("nobody") == "missing"
    assert set(words.values()) == {"archived"}
    assert len(files_of(root)) == len(words) == 239
    assert busy.resumed
    for session_id in words:
        assert place_of(store, root, session_id) == "archived"
        shown = values(read(archiver, session_id))
        assert shown == ({"k": wanted[session_id]} if wanted[session_id] else {})


def test_archiver_that_gives_up_leaves_no_thread_and_nothing_half_done(
    store: RedisSessionStore, archiver: Archiver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that refuses the first files ends the run while others are being read."""
    ids = [f"d{i}" for i in range(300)]
    for session_id in ids:
        come_and_go(store, session_id, ("k", 1), sid=f"aaaa.{session_id}")
    monkeypatch.setattr("service.archiving.archiver.BATCH_BYTES", 1)
    steps(archiver).then["read"] = lambda: (root / "muster-archive.json").rename(root / "away")
    with pytest.raises(ArchiveUnavailable):
        archiver.archive_sessions(ids)
    assert [one.name for one in threading.enumerate() if one.name.startswith("archive")] == []
    (root / "away").rename(root / "muster-archive.json")
    assert {place_of(store, root, session_id) for session_id in ids} == {"inactive"}
    assert {done.word for done in archiver.archive_sessions(ids)} == {"archived"}


def test_archive_leaves_a_session_that_is_too_large_for_a_file_and_takes_the_others(
    store: RedisSessionStore, archiver: Archiver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no reader would take back stays in Redis, whole, and holds up nobody."""
    for n, size in enumerate((10, 20_000, 10)):
        come_and_go(store, f"d{n}", ("k", "x" * size), sid=f"aaaa.{n}")
    monkeypatch.setattr("service.archive.record.MAX_TEXT_BYTES", 10_000)
    words = {done.session_id: done.word for done in archiver.archive_sessions(["d0", "d1", "d2"])}
    assert words == {"d0": "archived", "d1": "too_large", "d2": "archived"}
    assert place_of(store, root, "d1") == "inactive"
    assert values(read(archiver, "d1")) == {"k": ["x" * 20_000]}
    assert len(files_of(root)) == 2
