"""Guarantee 7 at the store and the disk: sessions leave Redis for the archive and come back whole.

Every interleaving is forced through the steps of the Archiver, on fakeredis and on a real server.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable
from service.archive.file_store import FileArchiveStore
from service.errors import ArchiveCorrupt, SessionNotFound
from service.sessions import model
from service.sessions.archiving import Archiver
from service.sessions.manager import SessionManager
from service.sessions.model import NewCommand, Registration
from service.sessions.store import RedisSessionStore
from service.sessions.store_archive import IndexEntry
from tests.stores import holding, keys_of, make_store, part

A, B = "host-aaaa", "host-bbbb"
#: Numbers of batches, never used twice.
NUMBERS = itertools.count(1)


class Killed(BaseException):
    """The process ends here; nothing of it runs any more."""


class Silent:
    """Tells nobody anything."""

    def emit_to(self, sid: str, event: str, data: object) -> None: ...

    def disconnect(self, sid: str) -> None: ...

    def notify(self, node_id: str, topic: str, data: object) -> None: ...


class Steps:
    """Calls what a test hangs onto a step, once."""

    def __init__(self) -> None:
        self.then: dict[str, Callable[[], Any]] = {}

    def __call__(self, name: str) -> None:
        action = self.then.pop(name, None)
        if action is not None:
            action()

    def kill_at(self, name: str) -> None:
        def kill() -> None:
            raise Killed

        self.then[name] = kill


@pytest.fixture
def client(redis_factory: Callable[..., redis.Redis]) -> redis.Redis:
    return redis_factory(decode_responses=True)


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, flapping_registers=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def make_archiver(store: RedisSessionStore, root: Path) -> Callable[[], Archiver]:
    def make() -> Archiver:
        files = FileArchiveStore(root)
        files.open(files.claim())
        return Archiver(store, Archive(files), step=Steps())

    return make


@pytest.fixture
def archiver(make_archiver: Callable[[], Archiver]) -> Archiver:
    return make_archiver()


def steps(archiver: Archiver) -> Steps:
    assert isinstance(archiver._step, Steps)
    return archiver._step


def come_and_go(
    store: RedisSessionStore, session_id: str = "d1", *samples: tuple[str, Any], sid: str = "aaaa.1"
) -> Registration:
    """A device was here: registered, sent samples with seq, and left."""
    own = store.register(session_id, node_id=A, sid=sid, project_id="p1", stream="run")
    if samples:
        seq = (own.last_seq + 1, own.last_seq + len(samples))
        numbered = part(session_id, own.generation, *samples, seq=seq, stream="run")
        assert store.append(0, A, next(NUMBERS), [numbered])[0].word == "ok"
    store.disconnect(0, A, [(session_id, sid, own.generation)], "gone")
    return own


def files_of(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("????/*.zst"))


def place_of(store: RedisSessionStore, root: Path, session_id: str = "d1") -> str:
    """Where a session is; asserts that it stands in exactly one index, and nowhere in part."""
    p = store.keys.partition(session_id)
    indexes = {s: getattr(store.keys, s)(p) for s in ("active", "inactive", "archived")}
    found = [s for s, key in indexes.items() if store._client.zscore(key, session_id) is not None]
    assert len(found) == 1, found
    raw = store.get(session_id)
    name = store.archive_name(session_id)
    if found == ["archived"]:
        assert raw is None
        assert name is not None
        assert (root / name).exists()
        left = keys_of(store._client, store.keys.prefix, session_id)
        assert [key for key in left if ":tombstone:" not in key] == []
    else:
        assert raw is not None
        assert raw["state"] == found[0]
        assert name is None
    return found[0]


def read(archiver: Archiver, session_id: str) -> dict[str, Any] | None:
    """What people see of a session, wherever it is."""
    return SessionManager(archiver.store, Silent(), archiver=archiver).details(session_id)


def values(details: dict[str, Any] | None) -> Any:
    assert details is not None
    return {key: [value for value, _ in samples] for key, samples in details["data"].items()}


# -- there and back --


def test_archive_and_register_bring_back_the_whole_session(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, root: Path
) -> None:
    """Identity, histories, setup with steps, commands, seq, statistics: all as if it never left."""
    own = store.register("d1", node_id=A, sid="aaaa.1", session_name="Kiosk", stream="run")
    numbered = [("a", 1.5), ("b:c", {"x": [None, "é"]}), ("a", 2**53 + 1)]
    store.append(
        0, A, next(NUMBERS), [part("d1", own.generation, *numbered, seq=(1, 3), stream="run")]
    )
    store.setup_put("d1", b'{"v": 1}')
    store.setup_put("d1", b'{"v": [], "w": {}}')
    store.setup_put("d1", b'{"v": 3}')
    store.setup_undo("d1")
    store.command_add("d1", NewCommand("c1", "go", '{"n":[]}', 1000, idempotency_key="k"))
    store.command_finish("d1", own.generation, "c1", ok=True, result_json='{"r":[]}')
    store.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
    before = store.details("d1")
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
    after = store.details("d1")
    assert after is not None
    same = ("data", "telemetry", "setup", "session_name", "created_at", "reported_version", "meta")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["statistics"]["updates"] == 3
    assert after["statistics"]["connects"] == 2
    events = [event["event"] for event in after["timeline"]]
    assert events[: len(before["timeline"])] == [e["event"] for e in before["timeline"]]
    assert events[len(before["timeline"]) :] == ["archived", "restored", "connected"]
    assert store.setup_redo("d1").setup == {"v": 3}
    assert store.setup_undo("d1").setup == {"v": [], "w": {}}
    assert store.command_get("d1", "c1")["result"] == {"r": []}  # type: ignore[index]
    again = store.command_add("d1", NewCommand("c2", "go", "null", 1000, idempotency_key="k"))
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
        store.append(0, A, next(NUMBERS), [part("d1", own.generation, ("k", turn))])
        revs.append(int(store.get("d1")["rev"]))  # type: ignore[index]
        store.disconnect(0, A, [("d1", f"aaaa.{turn}", own.generation)], "gone")
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
        own = store.register("d1", node_id=A, sid="aaaa.1")
        if why != "active":
            store.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
        if why == "busy with a command":
            store.command_add("d1", NewCommand("c1", "go", "null", 60_000))
        if why == "busy with a client":
            store.join("d1", A, "aaaa.2")
    assert [done.word for done in archiver.archive_sessions(["d1"])] == [why.split()[0]]
    assert files_of(root) == []


# -- races --


@pytest.mark.parametrize("what", ["update", "register", "join", "command", "setup"])
def test_change_between_snapshot_and_commit_keeps_the_session_in_redis(
    store: RedisSessionStore, archiver: Archiver, root: Path, what: str
) -> None:
    """An update racing the archive is in Redis afterwards, and the refused file is gone."""
    come_and_go(store, "d1", ("k", 1))

    def change() -> None:
        if what == "update":
            store.append(0, B, next(NUMBERS), [part("d1", None, ("k", 2))])
        elif what == "register":
            archiver.register("d1", node_id=B, sid="bbbb.1")
        elif what == "join":
            store.join("d1", B, "bbbb.2")
        elif what == "command":
            store.command_add("d1", NewCommand("c1", "go", "null", 60_000))
        else:
            store.setup_put("d1", b"1")

    steps(archiver).then["saved"] = change
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["newer"]
    assert place_of(store, root) == ("active" if what == "register" else "inactive")
    assert files_of(root) == []
    assert values(store.details("d1")) == {"k": [1, 2] if what == "update" else [1]}


def test_two_archivers_of_one_session_make_one_file(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """The second finds its own file committed already and leaves it alone."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()
    steps(archiver).then["saved"] = lambda: other.archive_sessions(["d1"])
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["archived"]
    assert place_of(store, root) == "archived"
    assert len(files_of(root)) == 1


@pytest.mark.parametrize("step", ["read", "saved"])
def test_archiver_that_slept_never_harms_a_newer_archive(
    store: RedisSessionStore,
    archiver: Archiver,
    make_archiver: Callable[[], Archiver],
    root: Path,
    step: str,
) -> None:
    """Stopped while the session came back and was archived again, it removes only its own file."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()

    def meanwhile() -> None:
        own = other.register("d1", node_id=B, sid="bbbb.1")
        store.append(0, B, next(NUMBERS), [part("d1", own.generation, ("k", 2))])
        store.disconnect(0, B, [("d1", "bbbb.1", own.generation)], "gone")
        assert [done.word for done in other.archive_sessions(["d1"])] == ["archived"]

    steps(archiver).then[step] = meanwhile
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["newer"]
    assert place_of(store, root) == "archived"
    assert len(files_of(root)) == 1
    assert values(read(archiver, "d1")) == {"k": [1, 2]}


def test_archiver_that_slept_through_a_restore_keeps_the_superseded_file(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Both wrote the same file; it was committed and restored from: it stays until the next commit."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()

    def meanwhile() -> None:
        other.archive_sessions(["d1"])
        other.restore("d1")

    steps(archiver).then["saved"] = meanwhile
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["newer"]
    assert place_of(store, root) == "inactive"
    assert len(files_of(root)) == 1


def test_two_nodes_restoring_at_once_make_one_session(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Both register; one owner at the end, one history, nothing twice."""
    come_and_go(store, "d1", ("k", 1), ("k", 2))
    archiver.archive_sessions(["d1"])
    other = make_archiver()
    seen: list[Registration] = []
    steps(archiver).then["restoring"] = lambda: seen.append(
        other.register("d1", node_id=B, sid="bbbb.1")
    )
    last = archiver.register("d1", node_id=A, sid="aaaa.2")
    assert seen[0].restored
    assert last.resumed
    assert last.superseded is not None
    assert last.superseded.sid == "bbbb.1"
    assert place_of(store, root) == "active"
    assert values(store.details("d1")) == {"k": [1, 2]}


def test_many_registers_of_one_archived_id_end_with_one_owner(
    store: RedisSessionStore, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Threads on two nodes: exactly one owner, all data once."""
    come_and_go(store, "d1", ("k", 1))
    make_archiver().archive_sessions(["d1"])
    results: list[Registration] = []
    barrier = threading.Barrier(8)

    def device(i: int) -> None:
        mine = make_archiver()
        barrier.wait(10)
        results.append(mine.register("d1", node_id=(A, B)[i % 2], sid=f"x.{i}"))

    threads = [threading.Thread(target=device, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(results) == 8
    winner = max(results, key=lambda registered: registered.generation)
    assert store.get("d1")["generation"] == str(winner.generation)  # type: ignore[index]
    assert values(store.details("d1")) == {"k": [1]}
    assert place_of(store, root) == "active"


# -- delete --


@pytest.mark.parametrize("state", ["active", "inactive", "archived", "restored"])
def test_delete_leaves_nothing_anywhere(
    store: RedisSessionStore, archiver: Archiver, root: Path, state: str
) -> None:
    """From any state: no key, no file, no index entry; a later register begins afresh."""
    come_and_go(store, "d1", ("k", 1))
    if state in ("archived", "restored"):
        archiver.archive_sessions(["d1"])
    if state == "restored":
        archiver.restore("d1")
    if state == "active":
        archiver.register("d1", node_id=A, sid="aaaa.9")
    assert archiver.delete("d1") is not None
    assert files_of(root) == []
    names = keys_of(store._client, store.keys.prefix, "d1")
    assert names == [store.keys.tombstone("d1")]
    assert store.counts() == {"active": 0, "inactive": 0, "archived": 0}
    assert store._client.exists(store.keys.project(0, "p1")) == 0
    assert archiver.delete("d1") is not None or archiver.delete("d1") is None
    fresh = archiver.register("d1", node_id=B, sid="bbbb.1")
    assert (fresh.resumed, fresh.restored, fresh.rev) == (False, False, 2)


def test_delete_during_a_restore_wins(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """The file was read, then the session was deleted: the restore is refused."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    other = make_archiver()
    steps(archiver).then["restoring"] = lambda: other.delete("d1")
    assert archiver.restore("d1") is False
    assert store.get("d1") is None
    assert files_of(root) == []


def test_delete_during_an_archival_wins(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """The file was written after the delete looked for files: it is removed by its writer."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()
    steps(archiver).then["saved"] = lambda: other.delete("d1")
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["deleted"]
    assert files_of(root) == []
    assert store.counts() == {"active": 0, "inactive": 0, "archived": 0}


@pytest.mark.parametrize("step", ["tombstone", "files"])
@pytest.mark.parametrize("state", ["inactive", "archived"])
def test_delete_killed_between_two_steps_is_finished_by_the_next(
    store: RedisSessionStore, archiver: Archiver, root: Path, step: str, state: str
) -> None:
    """After a crash the delete can be repeated, and nothing comes back after that."""
    own = come_and_go(store, "d1", ("k", 1))
    if state == "archived":
        archiver.archive_sessions(["d1"])
    steps(archiver).kill_at(step)
    with pytest.raises(Killed):
        archiver.delete("d1")
    assert store.reclaim(0, A, [holding(own, "aaaa.1")])[0][0] == "deleted"
    assert archiver.delete("d1") is not None
    assert files_of(root) == []
    assert store.counts() == {"active": 0, "inactive": 0, "archived": 0}


def test_archiver_that_commits_between_the_steps_of_a_delete_is_refused(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Its file, renamed after the delete looked for files, does not survive the delete."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()
    words: list[str] = []
    steps(archiver).then["files"] = lambda: words.extend(
        done.word for done in other.archive_sessions(["d1"])
    )
    assert archiver.delete("d1") is not None
    assert words == ["deleted"]
    assert files_of(root) == []


def test_refused_archiver_leaves_a_file_that_another_commits_meanwhile(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """Refused as busy; the client leaves, and another archiver commits the file of the same name."""
    come_and_go(store, "d1", ("k", 1))
    other = make_archiver()

    def busy() -> None:
        store._client.sadd(store.keys.clients("d1"), "x#y")  # joined; the rev is the same

    def free_again() -> None:
        store._client.delete(store.keys.clients("d1"))
        assert [done.word for done in other.archive_sessions(["d1"])] == ["archived"]

    steps(archiver).then["saved"] = busy
    steps(archiver).then["committed"] = free_again
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["busy"]
    assert place_of(store, root) == "archived"


def test_archiver_that_slept_while_redis_was_emptied_keeps_its_file(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, root: Path
) -> None:
    """Nobody knows the session any more: the file may be the only copy, and a register finds it."""
    come_and_go(store, "d1", ("k", 1))

    def emptied() -> None:
        for key in list(client.scan_iter(f"{store.keys.prefix}:*")):
            client.delete(key)

    steps(archiver).then["saved"] = emptied
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["missing"]
    assert len(files_of(root)) == 1
    assert archiver.register("d1", node_id=B, sid="bbbb.1").restored
    assert values(store.details("d1")) == {"k": [1]}


# -- crashes --


@pytest.mark.parametrize("step", ["read", "saved", "committed"])
def test_archiver_killed_at_any_step_leaves_one_place_and_the_next_run_finishes(
    store: RedisSessionStore,
    archiver: Archiver,
    make_archiver: Callable[[], Archiver],
    root: Path,
    step: str,
) -> None:
    """Every session is whole in exactly one place, and a second run ends with one file each."""
    for i in range(3):
        come_and_go(store, f"d{i}", ("k", i), sid=f"aaaa.{i}")
    ids = [f"d{i}" for i in range(3)]
    steps(archiver).kill_at(step)
    with pytest.raises(Killed):
        archiver.archive_sessions(ids)
    for i, session_id in enumerate(ids):
        place_of(store, root, session_id)
        assert values(read(archiver, session_id)) == {"k": [i]}
    left = [i for i in ids if place_of(store, root, i) != "archived"]
    assert {done.word for done in make_archiver().archive_sessions(left)} <= {"archived"}
    assert [place_of(store, root, i) for i in ids] == ["archived"] * 3
    assert len(files_of(root)) == 3


def test_restore_killed_before_its_script_changes_nothing(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """The session stays archived and comes back at the next try."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    steps(archiver).kill_at("restoring")
    with pytest.raises(Killed):
        archiver.restore("d1")
    assert place_of(store, root) == "archived"
    assert archiver.restore("d1")


# -- a lost index, bad files, a missing disk --


def test_register_finds_the_archive_when_the_index_was_lost(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis, root: Path
) -> None:
    """An emptied Redis knows no archives: a register asks the disk by name before it begins anew."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    for key in list(client.scan_iter(f"{store.keys.prefix}:*")):
        client.delete(key)
    back = archiver.register("d1", node_id=B, sid="bbbb.1")
    assert back.restored
    assert values(store.details("d1")) == {"k": [1]}
    assert place_of(store, root) == "active"
    assert client.zscore(store.keys.project(0, "p1"), "d1") is not None


def test_index_of_files_never_replaces_what_is_newer_or_live(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """A reindex puts in what is missing, and nothing else."""
    come_and_go(store, "live", ("k", 1))
    come_and_go(store, "old", ("k", 1), sid="aaaa.2")
    come_and_go(store, "gone", ("k", 1), sid="aaaa.3")
    archiver.archive_sessions(["old", "gone"])
    name = store.archive_name("old")
    assert name is not None
    archiver.delete("gone")
    generation = int(name.split("~")[1].split("-")[0])

    def entry(session_id: str, rev: int, generation: int = generation) -> IndexEntry:
        made = f"0000/{session_id}~{generation}-{rev}.json.zst"
        return IndexEntry(session_id, made, generation, rev, 5, {"project_id": "p1"})

    entries = [
        entry("live", 99),
        entry("old", 1),
        entry("gone", 99, 1),
        entry("new", 1),
        entry("new", 3),
        entry("new", 2),
    ]
    words = store.archive_index(0, entries)
    assert words == ["live", "known", "deleted", "ok", "ok", "known"]
    assert store.archive_name("old") == name
    assert str(store.archive_name("new")).endswith("-3.json.zst")
    assert store.counts()["archived"] == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "not ours", "folder", "gone"])
def test_bad_file_goes_to_quarantine_and_the_device_begins_afresh(
    store: RedisSessionStore, archiver: Archiver, root: Path, damage: str
) -> None:
    """The device still registers, is told `restored: false`, and nothing is deleted."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    path = root / str(store.archive_name("d1"))
    data = path.read_bytes()
    if damage in ("folder", "gone"):
        path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        flipped = bytes([data[len(data) // 2] ^ 1])
        bad = {
            "cut": data[:-9],
            "flipped": data[: len(data) // 2] + flipped + data[len(data) // 2 + 1 :],
            "empty": b"",
            "not ours": b"hello",
        }
        path.write_bytes(bad[damage])
    fresh = archiver.register("d1", node_id=B, sid="bbbb.1")
    assert (fresh.resumed, fresh.restored) == (False, False)
    assert place_of(store, root) == "active"
    items = archiver.archive.store.quarantined()
    assert len(items) == (0 if damage == "gone" else 1)
    assert all(item.reason for item in items)


def test_reading_a_bad_file_says_so_once_and_the_session_is_none_afterwards(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """`archive_corrupt`, the file is in quarantine with the reason, and lists have it no more."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    path = root / str(store.archive_name("d1"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArchiveCorrupt):
        read(archiver, "d1")
    assert read(archiver, "d1") is None
    assert len(archiver.archive.store.quarantined()) == 1
    assert store.counts()["archived"] == 0


def test_read_while_the_session_moves_finds_it(
    store: RedisSessionStore, archiver: Archiver, make_archiver: Callable[[], Archiver], root: Path
) -> None:
    """The index named a file that was superseded and removed a moment later."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    other = make_archiver()
    load = archiver.archive.load

    def load_late(name: str) -> Any:
        archiver.archive.load = load  # type: ignore[method-assign]
        come_and_go_of(other, "d1")
        return load(name)

    archiver.archive.load = load_late  # type: ignore[method-assign]
    assert values(read(archiver, "d1")) == {"k": [1]}
    assert place_of(store, root) == "archived"


def come_and_go_of(archiver: Archiver, session_id: str) -> None:
    """It came back from the archive, left, and was archived again."""
    own = archiver.register(session_id, node_id=B, sid="bbbb.1")
    archiver.store.disconnect(0, B, [(session_id, "bbbb.1", own.generation)], "gone")
    archiver.archive_sessions([session_id])


def test_archive_that_cannot_be_read_is_no_reason_for_a_fresh_session(
    store: RedisSessionStore, archiver: Archiver, root: Path, tmp_path: Path
) -> None:
    """The volume is not mounted: `store_unavailable`, and the session is whole when it is back."""
    come_and_go(store, "d1", ("k", 1))
    archiver.archive_sessions(["d1"])
    root.rename(tmp_path / "away")
    for session_id in ("d1", "never seen"):
        with pytest.raises(ArchiveUnavailable) as refused:
            archiver.register(session_id, node_id=B, sid="bbbb.1")
        assert refused.value.code == "store_unavailable"
    root.mkdir()  # an empty mount point is no archive either
    with pytest.raises(ArchiveUnavailable):
        archiver.register("d1", node_id=B, sid="bbbb.1")
    root.rmdir()
    (tmp_path / "away").rename(root)
    assert archiver.register("d1", node_id=B, sid="bbbb.1").restored


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
            page = store.page(("inactive", "archived"), limit=5, cursor=cursor, **filters)  # type: ignore[arg-type]
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
