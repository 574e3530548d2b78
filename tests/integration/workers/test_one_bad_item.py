"""Work on many: one session, file, device or job that cannot be handled is told, and the others are done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import redis
from typer.testing import CliRunner

from service import errors
from service.archive import walk
from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable
from service.archive.file_store import FileArchiveStore
from service.archive.names import stem_of
from service.archive.record import decode, encode
from service.archiving.archiver import Archiver
from service.cli.archive.command import archive as command_line
from service.clock import RedisClock
from service.config.settings import RetentionSettings
from service.live.ownership.leases import Leases, LeaseTimes
from service.live.ownership.owned import OwnedSessions
from service.live.standing import Standing
from service.manager.bulk import Batches, command_id_of, run_batch
from service.manager.cleanup import clean_up
from service.manager.manager import SessionManager
from service.redis_access import job_queue
from service.redis_access.job_queue import JobQueue
from service.sessions.model import Holding
from service.sessions.store.store import RedisSessionStore
from service.sockets.rooms import Rooms
from service.tasks import ThreadTasks
from tests.support.archiving import Silent
from tests.support.stores import make_store
from workers import archive
from workers.queue import open_queue
from workers.rescue import Rescue

IDS = [f"d{number}" for number in range(9)]
BAD = IDS[4]
GOOD = [one for one in IDS if one != BAD]


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


def spoil(root: Path, session_id: str = BAD) -> None:
    """Its folder leads nowhere: it cannot be read, written or judged."""
    folder = root / stem_of(session_id)[:4]
    if folder.exists():
        folder.rename(root.parent / "elsewhere")
    folder.symlink_to(folder)


def states(store: RedisSessionStore) -> dict[str, str]:
    return {
        i: (row or {}).get("state", "gone")
        for i, row in zip(IDS, store.index.summaries(IDS), strict=True)
    }


def only(bad: str, others: str) -> dict[str, str]:
    return {one: bad if one == BAD else others for one in IDS}


# -- to the archive and out of it


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
    batch_id = batches.start(request, IDS if by == "ids" else None)
    assert run_batch(manager, batch_id) == 9
    shown = batches.show(batch_id, limit=100)
    assert shown["state"] == "done"
    assert shown["statuses"] == {"queued": 8, "refused": 1}
    [refused] = [one for one in shown["devices"] if one["status"] == "refused"]
    assert (refused["session_id"], refused["error"]["code"]) == (BAD, code)
    assert store.commands.get(GOOD[-1], command_id_of(batch_id, GOOD[-1]))


# -- the archive as a whole


@pytest.fixture
def run(root: Path) -> Callable[..., Any]:
    return lambda *given: CliRunner().invoke(command_line, [*given, "--archive", str(root)])


def test_verify_list_and_export_show_all_but_the_folder_that_cannot_be_read(
    archived: None, archiver: Archiver, root: Path, run: Callable[..., Any]
) -> None:
    spoil(root)
    verdicts = list(walk.verdicts(archiver.archive))
    assert len(verdicts) == 9
    assert [one.unreadable for one in verdicts if one.wrong] == [True]
    listed = json.loads(run("list", "--json").stdout)
    assert (sorted(one["session_id"] for one in listed["sessions"]), listed["bad"]) == (GOOD, 1)
    exported = run("export")
    assert exported.exit_code == 1
    assert sorted(json.loads(line)["session_id"] for line in exported.stdout.splitlines()) == GOOD


def test_verify_goes_on_behind_a_file_that_does_what_nobody_expected(
    archived: None, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = archiver.archive.check

    def odd(name: str) -> str | None:
        if name.startswith(stem_of(BAD)):
            raise RuntimeError("odd")
        return real(name)

    monkeypatch.setattr(archiver.archive, "check", odd)
    verdicts = list(walk.verdicts(archiver.archive))
    assert (len(verdicts), sum(bool(one.wrong) for one in verdicts)) == (9, 1)


@pytest.fixture
def service(
    redis_url: str, store: RedisSessionStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> SimpleNamespace:
    """The command line beside this store and archive."""
    monkeypatch.setenv("MUSTER_REDIS__URL", redis_url)
    monkeypatch.setenv("MUSTER_REDIS__KEY_PREFIX", store.keys.prefix)
    monkeypatch.setenv("MUSTER_ARCHIVE__URL", root.as_uri())

    def run(*given: str) -> Any:
        store.archive_index.settle("5" * 32, FileArchiveStore(root).identify().store_id)
        return CliRunner().invoke(command_line, list(given))

    return SimpleNamespace(run=run)


def forget(store: RedisSessionStore) -> None:
    for key in store.runner.client.scan_iter(f"{store.keys.prefix}:*"):
        store.runner.client.delete(key)


def test_reindex_finds_all_but_the_folder_that_cannot_be_read(
    archived: None, store: RedisSessionStore, root: Path, service: SimpleNamespace
) -> None:
    spoil(root)
    forget(store)
    told = json.loads(service.run("reindex", "--json").stdout)
    assert told == {"indexed": 8, "bad": 1}
    assert states(store) == only("gone", "archived")


def test_import_takes_all_but_the_files_that_cannot_be(
    archived: None, store: RedisSessionStore, root: Path, tmp_path: Path, service: SimpleNamespace
) -> None:
    """One cannot be read, of one the place is broken, one is called as nothing new may be."""
    source = tmp_path / "source"
    root.rename(source)
    forget(store)
    files = FileArchiveStore(root)
    files.open(files.claim())
    [bad] = source.glob(f"{stem_of(BAD)[:4]}/*.zst")
    bad.unlink()
    bad.symlink_to(tmp_path / "nowhere")
    spoil(root, IDS[6])
    record = decode(next(source.glob(f"{stem_of(IDS[2])[:4]}/*.zst")).read_bytes())
    (source / "old.json.zst").write_bytes(
        encode(type(record)("a\u2028b", 1, 1, record.archived_at_ms, record.summary, record.body))
    )
    done = service.run("import", "--json", str(source))
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"imported": 7, "bad": 3}
    assert {i for i, state in states(store).items() if state == "archived"} == set(IDS) - {
        BAD,
        IDS[6],
    }


def test_import_of_lines_leaves_out_the_session_with_a_bad_line_and_takes_the_others(
    store: RedisSessionStore, archiver: Archiver, tmp_path: Path, service: SimpleNamespace
) -> None:
    """Half a session would be taken for all of it; who cannot be told is one of two neighbours."""

    def line(session_id: str, value: Any) -> str:
        return json.dumps({"session_id": session_id, "key": "k", "ts": 1, "value": value})

    lines = tmp_path / "lines.ndjson"
    lines.write_text(
        "\n".join(
            [line("a", 1), line("a", 2), line("b", 1), '{"session_id": "b"}', line("b", 2),
             line("c", 1), "nonsense", line("d", 1), line("d", 2), line("e", 1)]
        )
    )  # fmt: skip
    done = service.run("import", "--json", str(lines))
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"imported": 2, "bad": 3}
    known = [one for one in "abcde" if archiver.read(one) is not None]
    assert known == ["a", "e"]


def test_file_with_numbers_that_are_none_spoils_no_list(
    archived: None,
    store: RedisSessionStore,
    archiver: Archiver,
    root: Path,
    service: SimpleNamespace,
) -> None:
    """Neither among the archived ones nor when it comes back, nor for what goes through commands."""
    [path] = root.glob(f"{stem_of(BAD)[:4]}/*.zst")
    record = decode(path.read_bytes())
    odd = {
        "last_update": "soon",
        "open_commands": "1e3",
        "created_at": "9" * 17,
        "setup_version": "٣",
    }
    record.summary.update(odd)
    record.body["fields"].update(odd)
    record.body["commands"] = {"c1": "no record", "c2": orjson.dumps({"status": "failed"}).decode()}
    path.write_bytes(encode(record))
    forget(store)
    assert json.loads(service.run("reindex", "--json").stdout) == {"indexed": 9, "bad": 0}
    manager = SessionManager(store, Silent(), archiver=archiver)
    assert len(manager.get_sessions("archived")["sessions"]) == 9
    assert archiver.bring_back(BAD)
    assert [one["session_id"] for one in manager.get_sessions("inactive")["sessions"]] == [BAD]
    assert manager.get_session(BAD) is not None
    assert store.ownership.register(BAD, node_id="n-a", sid="a.1").undelivered == 0


# -- what nodes do for many


def test_reclaim_brings_back_all_but_the_one_whose_file_cannot_be_read(
    archived: None, store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    held = [
        Holding(one, f"a.{one}", int(walk.parse_name(archiver.archive.store.find(one)[0]).generation),
                1, "", "p", "", "", 0, 1)
        for one in IDS
    ]  # fmt: skip
    spoil(root)
    with pytest.raises(errors.StoreUnavailable):
        archiver.reclaim(0, "n-a", held)
    assert states(store)[BAD] == "archived"
    assert set(states(store).values()) == {"archived", "active"}
    assert sum(state == "active" for state in states(store).values()) == 8


def test_rejoin_counts_all_but_one(store: RedisSessionStore) -> None:
    class Clients:
        def join(self, session_id: str, node_id: str, sid: str) -> int:
            if session_id == BAD:
                raise ValueError("odd")
            return store.ownership.join(session_id, node_id, sid)

        leave = store.ownership.leave

    for one in IDS:
        store.ownership.create(one)
    client = SimpleNamespace(sid="a.1", joined=set(IDS), closed=False)
    rooms = Rooms(Clients(), "n-a", lambda: [client], store.keys.partition, InlineTasks())
    rooms.rejoin(0)
    joined = [one for one in IDS if store.ownership.clients(one)]
    assert joined == GOOD


TIMES = LeaseTimes(renew_s=2.0, ttl_s=0, detach_after_s=60)


class Nobody:
    """A `LeaseListener` that does nothing."""

    def lost_lease(self, partition: int) -> None: ...
    def pending(self, session_id: str) -> None: ...
    def ended(self, commands: list[Any]) -> None: ...
    def detach(self) -> None: ...


class InlineTasks(ThreadTasks):
    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        function(*args)


def test_renewal_does_all_else_when_one_partition_cannot_be_reclaimed(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    """Its beat, its signs of life and the other partitions; and it comes again soon."""
    store = make_store(redis_client, key_prefix, 3)
    reclaimed: list[int] = []
    fail = True

    class OwnershipReconciler:
        def reclaim(self, partition: int, claims: list[Any]) -> None:
            if partition == 1 and fail:
                raise errors.StoreUnavailable("its file cannot be read")
            reclaimed.append(partition)

    leases = Leases(
        store, OwnedSessions(), OwnershipReconciler(), None, ThreadTasks(), RedisClock(), Standing(2.0), "n-a",
        partitions=3, times=TIMES, is_connected=lambda sid: True, listener=Nobody(),
    )  # fmt: skip
    with pytest.raises(errors.StoreUnavailable):
        leases.renew()
    assert reclaimed == [0, 2]
    assert [node["node_id"] for node in store.fleet.nodes()] == ["n-a"]
    fail = False
    leases.renew()
    assert reclaimed == [0, 2, 1]


def test_comparison_frees_all_but_one(store: RedisSessionStore) -> None:
    freed: list[str] = []

    class PendingDisconnects:
        def free(self, session_id: str, partition: int, is_gone: Any) -> bool:
            if session_id == BAD:
                raise ValueError("odd")
            freed.append(session_id)
            return True

    for one in IDS:
        store.ownership.register(one, node_id="n-a", sid=f"a.{one}")
    leases = Leases(
        store, OwnedSessions(), None, PendingDisconnects(), ThreadTasks(), RedisClock(), Standing(2.0), "n-a",
        partitions=1, times=TIMES, is_connected=lambda sid: False, listener=Nobody(),
    )  # fmt: skip
    leases.compare()
    assert sorted(freed) == GOOD


# -- jobs


def test_jobs_are_listed_and_taken_up_behind_one_that_is_no_job(
    redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        jobs = JobQueue(client, key_prefix)
        ids = [jobs.enqueue_cleanup({"n": n}, str(n)) for n in range(3)]
        queue = open_queue(client, key_prefix)
        real = job_queue._job_view

        def odd(job: Any) -> dict[str, Any]:
            if job.id == ids[1]:
                raise ValueError("odd")
            return real(job)

        monkeypatch.setattr(job_queue, "_job_view", odd)
        assert {one["job_id"] for one in jobs.jobs(["queued"], 10)} == {ids[0], ids[2]}
        for _ in ids:
            client.lmove(queue.key, queue.intermediate_queue.key)
        client.hset(f"rq:job:{ids[1]}", "created_at", "no time")
        rescue = Rescue(queue)
        rescue.take_up_taken(dead_s=0)
        left = {one.decode() for one in client.lrange(queue.key, 0, -1)}
        assert left >= {ids[0], ids[2]}
