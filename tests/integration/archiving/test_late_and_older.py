"""What comes late to the archive, or is older than what is there: refused, and nothing is changed by it."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from service import errors
from service.archive.names import age_order
from service.archiving.archiver import Archiver
from service.sessions.model import NewCommand
from service.sessions.store.archive_index import Commit, IndexEntry
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import A, B, come_and_go, come_and_go_of, files_of, read, steps
from tests.support.nodes.stores import make_store

HOUR_MS = 3_600_000


def archived(archiver: Archiver) -> str:
    """Archive d1; the name of its file."""
    assert [one.word for one in archiver.archive_sessions(["d1"])] == ["archived"]
    name = archiver.store.archive_index.name_of("d1")
    assert name is not None
    return name


def tombstone(store: RedisSessionStore) -> int:
    return int(store.runner.client.get(store.keys.tombstone("d1")) or -1)


def entry(archiver: Archiver, name: str, **changes: object) -> IndexEntry:
    header = archiver.archive.load_header(name)
    assert header is not None
    fields = {"generation": header.generation, "rev": header.rev, "summary": header.summary}
    return IndexEntry(**{"session_id": "d1", "name": name, "archived_ms": 1, **fields, **changes})


# -- restores


def test_restore_of_a_file_that_is_not_the_indexed_one_is_refused(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """It was read before the session came back, changed, and was archived anew."""
    come_and_go(store, "d1", ("k", 1))
    older = archived(archiver)
    snapshot = archiver._snapshot(older)
    assert snapshot is not None
    come_and_go_of(archiver, "d1")
    newer = store.archive_index.name_of("d1")
    assert store.archive_index.restore(snapshot, older).word == "changed"
    assert store.index.get("d1") is None
    assert store.archive_index.name_of("d1") == newer
    assert not list(store.runner.client.scan_iter(f"{store.keys.prefix}:*staging*"))


def test_restored_session_of_a_service_without_ttls_has_none(
    redis_client: redis.Redis, key_prefix: str, archiver: Archiver
) -> None:
    """What was staged had one."""
    archiver.store = store = make_store(redis_client, key_prefix, ttl_ms=0, flapping_registers=0)
    come_and_go(store, "d1", ("k", 1))
    store.setups.put("d1", b"1")
    archived(archiver)
    assert archiver.restore("d1")
    for key in (store.keys.history("d1", "k"), store.keys.latest("d1"), store.keys.setup("d1")):
        assert redis_client.ttl(key) == -1, key


# -- deletes


@pytest.mark.parametrize("expected", ["0-0", "same generation, other rev"])
def test_refused_delete_changed_nothing(
    store: RedisSessionStore, archiver: Archiver, root: Path, expected: str
) -> None:
    """No tombstone, which would let nothing come back, and no file less."""
    come_and_go(store, "d1", ("k", 1))
    archived(archiver)
    archiver.restore("d1")
    raw = store.index.get("d1")
    assert raw is not None
    if expected != "0-0":
        expected = f"{raw['generation']}-{int(raw['rev']) - 1}"
    for refused in (archiver.delete, store.cleanup.delete):
        with pytest.raises(errors.PreconditionFailed):
            refused("d1", expected)
        assert tombstone(store) == -1
        assert len(files_of(root)) == 1
        assert store.index.get("d1") == raw


def test_delete_of_an_archived_session_with_another_file_is_refused(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    come_and_go(store, "d1", ("k", 1))
    older = archived(archiver)
    come_and_go_of(archiver, "d1")
    with pytest.raises(errors.PreconditionFailed):
        archiver.delete("d1", archived_as=older)
    assert tombstone(store) == -1
    assert len(files_of(root)) == 1


def test_tombstone_is_as_high_as_the_files(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis
) -> None:
    """Redis may know less than the disk, and its index less than either."""
    come_and_go(store, "d1", ("k", 1))
    generation = age_order(archived(archiver))[0]
    assert store.cleanup.begin_delete("d1", generation + 5)
    assert tombstone(store) == generation + 5
    client.delete(store.keys.tombstone("d1"))
    assert store.cleanup.begin_delete("d1", 0)
    assert tombstone(store) == generation
    client.delete(store.keys.archive_names(0), store.keys.archived(0))
    assert archiver.delete("d1") is not None
    assert tombstone(store) == generation


def test_tombstone_never_goes_back(store: RedisSessionStore, archiver: Archiver) -> None:
    """The file is of a later generation than what Redis has: a backup was put back."""
    own = come_and_go(store, "d1", ("k", 1))
    later = own.generation + HOUR_MS
    assert store.cleanup.begin_delete("d1", later)
    store.cleanup.delete("d1")
    assert tombstone(store) == later
    assert archiver.register("d1", node_id=B, sid="bbbb.1").generation > later


def test_file_that_comes_late_to_a_delete_is_gone_before_its_tombstone_is(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """An archiver that dies before its commit leaves it, and nobody else would ever look."""
    come_and_go(store, "d1", ("k", 1))
    archived(archiver)
    name = files_of(root)[0]
    data = archiver.archive.store.get(f"{next(root.glob('????/*.zst')).parent.name}/{name}")
    assert data is not None
    place = next(root.glob("????/*.zst"))
    steps(archiver).then["keys"] = lambda: place.write_bytes(data)
    archiver.delete("d1")
    assert files_of(root) == []


def test_delete_that_was_cut_off_is_finished_by_who_meets_it(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    come_and_go(store, "d1", ("k", 1))
    name = archived(archiver)
    assert store.cleanup.begin_delete("d1", age_order(name)[0])  # and its process died
    assert archiver.restore("d1") is False
    assert files_of(root) == []
    assert store.archive_index.name_of("d1") is None


# -- commits


@pytest.mark.parametrize("change", ["a field more", "another value"])
def test_commit_of_a_session_that_is_not_as_it_was_read_is_refused(
    store: RedisSessionStore, archiver: Archiver, change: str
) -> None:
    """Whatever changed it, and although generation and rev are the same."""
    come_and_go(store, "d1", ("k", 1))
    fields = {"new": "1"} if change == "a field more" else {"session_name": "other"}
    client, key = store.runner.client, store.keys.session("d1")
    steps(archiver).then["saved"] = lambda: client.hset(key, mapping=fields)
    assert [one.word for one in archiver.archive_sessions(["d1"])] == ["newer"]
    assert store.index.get("d1") is not None


def test_commit_leaves_no_session_that_is_both_archived_and_idle(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis
) -> None:
    store.ownership.create("d1")
    store.cleanup.deactivate(["d1"])
    client.zadd(store.keys.idle(0), {"d1": 1})
    archived(archiver)
    assert client.zscore(store.keys.idle(0), "d1") is None


@pytest.mark.parametrize("why", ["active", "a command is open", "somebody looks at it"])
def test_commit_looks_itself_whether_a_session_may_go(
    store: RedisSessionStore, client: redis.Redis, why: str
) -> None:
    """Whoever read the session has looked before; what came since is not always in its fields."""
    come_and_go(store, "d1", ("k", 1))
    key = store.keys.session("d1")
    if why == "active":
        store.ownership.register("d1", node_id=A, sid="aaaa.2")
    elif why == "a command is open":
        client.hset(key, "open_commands", "1")
    else:
        client.sadd(store.keys.clients("d1"), f"{A}#aaaa.7")
    commit = Commit("d1", "abcd/d1~1-1.json.zst", 9, {}, "", client.hgetall(key))
    assert [one.word for one in store.archive_index.commit([commit])] == ["busy"]
    assert store.index.get("d1") is not None


# -- the index


def test_index_takes_no_file_that_is_older_or_deleted(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    come_and_go(store, "d1", ("k", 1))
    name = archived(archiver)
    rev = entry(archiver, name).rev
    for older in (entry(archiver, name, rev=rev - 1), entry(archiver, name, generation=1)):
        assert store.archive_index.add(0, [older]) == ["known"]
    archiver.restore("d1")
    assert store.archive_index.add(0, [entry(archiver, name)]) == ["live"]
    store.cleanup.delete("d1")
    assert store.archive_index.add(0, [entry(archiver, name)]) == ["deleted"]
    assert store.index.counts()["archived"] == 0


def test_index_leaves_a_session_that_people_changed_since(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """A backup was put back, and somebody edited the older state: neither is thrown away."""
    own = come_and_go(store, "d1", ("k", 1))
    name = archived(archiver)
    newer = entry(archiver, name, generation=own.generation + 9)
    archiver.restore("d1")
    store.setups.put("d1", b"1")
    assert store.archive_index.add(0, [newer]) == ["beside"]
    assert (store.index.get("d1") or {})["setup_version"] == "1"


def test_session_that_gives_way_to_a_newer_file_leaves_every_set(
    store: RedisSessionStore, archiver: Archiver, client: redis.Redis
) -> None:
    """Its old owner, its people, its commands' deadlines and its old project."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="p0")
    store.ownership.join("d1", B, "bbbb.7")
    store.commands.add("d1", NewCommand("c1", "go", "null", 60_000))
    client.delete(store.keys.leases(0))
    summary = {"project_id": "p1", "created_at": "1"}
    future = store.now_ms() + 60_000
    name = f"abcd/d1~{own.generation + 9}-1.json.zst"
    newer = IndexEntry("d1", name, own.generation + 9, 1, future, summary)
    assert store.archive_index.add(0, [newer]) == ["newer"]
    sets = {
        key.removeprefix(store.keys.tag(0)): key
        for key in client.scan_iter(f"{store.keys.prefix}:*")
    }
    left = set()
    for short, key in sets.items():
        if client.type(key) in ("set", "zset"):
            some = client.smembers(key) if client.type(key) == "set" else client.zrange(key, 0, -1)
            left |= {short for member in some if "d1" in member}
    assert left == {"archived", "project:p1"}


def test_forgetting_a_file_leaves_a_newer_one_and_takes_the_project_along(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    come_and_go(store, "d1", ("k", 1))
    older = archived(archiver)
    come_and_go_of(archiver, "d1")
    assert store.archive_index.forget("d1", older) is False
    newer = store.archive_index.name_of("d1")
    assert newer is not None
    assert read(archiver, "d1") is not None
    assert store.archive_index.forget("d1", newer)
    assert store.runner.client.zrange(store.keys.project(0, "p1"), 0, -1) == []
