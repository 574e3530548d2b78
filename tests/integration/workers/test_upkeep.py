"""Sweeps, purges and memory relief at a real server and a real disk, in this process."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.config.settings import MemorySettings, RetentionSettings
from service.manager.manager import SessionManager
from service.sessions.model import NewCommand
from service.sessions.store.keys import Keys
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer
from tests.support.archiving import A, Silent, files_of, place_of
from tests.support.stores import make_store, part
from workers import archive, memory
from workers.memory import Reading

NUMBERS = itertools.count(1)
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as one:
        yield one


@pytest.fixture(params=[1, 3], ids=["one partition", "three partitions"])
def store(
    client: redis.Redis, key_prefix: str, request: pytest.FixtureRequest
) -> RedisSessionStore:
    return make_store(client, key_prefix, request.param, flapping_registers=0, ttl_ms=60_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def archiver(store: RedisSessionStore, root: Path) -> Archiver:
    files = FileArchiveStore(root)
    files.open(files.claim())
    return Archiver(store, Archive(files))


def gone(store: RedisSessionStore, session_id: str, ago_s: float = 0, **given: Any) -> None:
    """A device was here and left so long ago, after one sample."""
    own = store.ownership.register(session_id, node_id=A, sid=f"aaaa.{session_id}", **given)
    p = store.keys.partition(session_id)
    assert store.samples.append(
        p, A, next(NUMBERS), [part(session_id, own.generation, ("k", session_id))]
    )
    store.ownership.disconnect(p, A, [(session_id, f"aaaa.{session_id}", own.generation)], "gone")
    inactive_ms = store.now_ms() - round(ago_s * 1000)
    store.runner.client.zadd(store.keys.inactive(p), {session_id: inactive_ms})


def sweep(archiver: Archiver, after_s: float = 100, batch: int = 10) -> archive.Outcome:
    return archive.sweep_inactive(archiver.store, archiver, after_s, batch)


# -- the sweep --


def test_sweep_takes_what_is_due_and_leaves_the_rest(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """By the time of going inactive, more than a batch, over all partitions."""
    for i in range(25):
        gone(store, f"old{i}", 200)
    for i in range(5):
        gone(store, f"new{i}", 50)
    assert sweep(archiver).archived == 25
    assert store.index.counts() == {"active": 0, "inactive": 5, "archived": 25}
    assert {place_of(store, root, f"old{i}") for i in range(25)} == {"archived"}
    assert sweep(archiver) == archive.Outcome()
    assert store.upkeep.read()["archived"] == "25"


def test_sweep_goes_from_the_longest_inactive_on(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """Over all partitions in one order."""
    for i in range(12):
        gone(store, f"d{i}", 1000 - i)
    order = list(store.upkeep.longest_inactive(store.now_ms(), 3))
    assert order == [f"d{i}" for i in range(12)]


def test_busy_sessions_at_the_head_do_not_block_those_behind(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """Thirty that wait for their commands are passed over, batch by batch; later they go too."""
    for i in range(30):
        gone(store, f"busy{i}", 1000)
        store.commands.add(f"busy{i}", NewCommand(f"c{i}", "go", "null", 60_000))
    gone(store, "joined", 900)
    store.ownership.join("joined", A, "aaaa.person")
    for i in range(12):
        gone(store, f"free{i}", 500)
    outcome = sweep(archiver)
    assert (outcome.archived, outcome.left) == (12, {"busy": 31})
    for i in range(30):
        store.commands.cancel(f"busy{i}", f"c{i}")
    store.ownership.leave("joined", A, "aaaa.person")
    assert sweep(archiver).archived == 31


def test_sessions_that_cannot_go_never_reach_their_ttl(
    store: RedisSessionStore, archiver: Archiver, root: Path, client: redis.Redis
) -> None:
    """The disk is away for longer than a TTL: every sweep keeps what waits alive; then it goes."""
    for i in range(7):
        gone(store, f"d{i}", 50)  # of a TTL of 60 s
    for key in client.scan_iter(f"{store.keys.prefix}:*"):
        if client.pttl(key) > 0:
            client.pexpire(key, 10_000)
    root.rename(root.with_name("away"))
    outcome = sweep(archiver, 40)
    assert outcome.archived == 0
    assert "archive" in outcome.error
    for i in range(7):
        keys = [k for k in client.scan_iter(f"{store.keys.prefix}:*") if f"d{i}" in k]
        left = {key: client.pttl(key) for key in keys if client.type(key) != "zset"}
        assert (
            min(left[store.keys.session(f"d{i}")], left[store.keys.history(f"d{i}", "k")]) > 30_000
        )
    upkeep = store.upkeep.read()
    assert int(upkeep["archive_failures"]) == 1
    assert int(upkeep["archive_failed_at"]) > 0
    assert int(upkeep["ttls_extended"]) == 7
    root.with_name("away").rename(root)
    assert sweep(archiver, 40).archived == 7


def test_ttls_are_extended_round_and_round_in_bounded_steps(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """Without an archive too: sessions then stay in Redis for ever."""
    for i in range(9):
        gone(store, f"d{i}", 45)
        client.pexpire(store.keys.session(f"d{i}"), 20_000)
    extended = 0
    for _ in range(12):
        extended += sum(store.upkeep.extend_ttls(p, 2) for p in range(store.keys.partitions))
    assert extended == 9
    assert all(client.pttl(store.keys.session(f"d{i}")) > 50_000 for i in range(9))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip("may not mount here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.processes
def test_full_disk_keeps_sessions_in_redis_and_old_files_whole(
    store: RedisSessionStore, small_disk: Path
) -> None:
    """As much as fits goes; the rest stays, is seen, and goes when there is room again."""
    import random

    files = FileArchiveStore(small_disk / "archive")
    files.open(files.claim())
    archiver = Archiver(store, Archive(files))
    chooser = random.Random(1)
    values = {}
    for i in range(40):
        session_id = f"d{i}"
        gone(store, session_id, 200)
        values[session_id] = chooser.randbytes(30_000).hex()
        p = store.keys.partition(session_id)
        store.samples.append(
            p, A, next(NUMBERS), [part(session_id, None, ("big", values[session_id]))]
        )
    ballast = small_disk / "ballast"
    outcome = sweep(archiver)
    assert outcome.error
    counts = store.index.counts()
    assert 10 < counts["archived"] < 40
    assert counts["archived"] + counts["inactive"] == 40
    assert all(not one.wrong for one in _verdicts(archiver))
    manager = SessionManager(store, Silent(), archiver=archiver)
    for session_id, value in values.items():
        place_of(store, small_disk / "archive", session_id)
        assert manager.get_session(session_id)["telemetry"]["big"] == value  # type: ignore[index]
    ballast.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert not sweep(archiver).error
    assert store.index.counts() == {"active": 0, "inactive": 0, "archived": 40}


def _verdicts(archiver: Archiver) -> list[Any]:
    from service.archive import walk

    return list(walk.verdicts(archiver.archive))


# -- retention --


def archived_ago(store: RedisSessionStore, session_id: str, days: float) -> None:
    p = store.keys.partition(session_id)
    store.runner.client.zadd(store.keys.archived(p), {session_id: store.now_ms() - days * DAY_MS})


def test_purge_by_days_names_and_projects(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """A name's retention wins over its project's, and that over the rest; 0 keeps for ever."""
    rules = RetentionSettings(days=10, names={"gold": 0, "lead": 1}, projects={"p": 3})
    days = {
        ("plain", "", ""): (11, 9),
        ("in_project", "", "p"): (4, 2),
        ("gold", "gold", "p"): (99, 99),
        ("lead", "lead", "p"): (2, 0.5),
    }
    expected = set()
    for kind, name, project in days:
        for which in ("over", "under"):
            session_id = f"{kind}-{which}"
            gone(store, session_id, 200, session_name=name, project_id=project)
            if which == "under" or kind == "gold":
                expected.add(session_id)
    sweep(archiver)
    for (kind, _, _), (over, under) in days.items():
        archived_ago(store, f"{kind}-over", over)
        archived_ago(store, f"{kind}-under", under)
    assert archive.purge(archiver, rules, 2) == 3
    left = {i["session_id"] for i in store.index.page("archived", limit=100).items}
    assert left == expected
    assert len(files_of(root)) == len(expected)
    assert archive.purge(archiver, rules, 2) == 0
    assert archive.purge(archiver, RetentionSettings(), 2) == 0


def test_purge_leaves_a_session_that_came_back_meanwhile(
    store: RedisSessionStore, root: Path
) -> None:
    """Between looking and removing it registered, or was even archived again."""
    files = FileArchiveStore(root)
    files.open(files.claim())
    archiver = Archiver(store, Archive(files))
    gone(store, "d1", 200)
    sweep(archiver)
    name = store.archive_index.name_of("d1")
    assert name is not None
    archiver.register("d1", node_id=A, sid="aaaa.x")
    assert archive._purge_one(archiver, "d1", name) == 0
    assert place_of(store, root) == "active"
    gone(store, "d1", 200)
    sweep(archiver)
    assert archive._purge_one(archiver, "d1", name) == 0
    assert place_of(store, root) == "archived"


# -- memory --


MARKS = MemorySettings(min_available_percent=5, redis_high_percent=80, redis_low_percent=70)


def never() -> bool:
    return False


@pytest.mark.parametrize(
    ("available", "used", "high"),
    [(50, None, False), (50, 79.9, False), (50, 80, True), (4.9, None, True), (4, 10, True)],
)
def test_marks_decide(available: float, used: float | None, high: bool) -> None:
    assert memory.is_high(Reading(available, used), MARKS) is high


@pytest.mark.parametrize(
    ("began", "now", "done"),
    [
        (Reading(50, 90), Reading(50, 70.1), False),
        (Reading(50, 90), Reading(50, 70), True),
        (Reading(4, 10), Reading(7, 10), False),
        (Reading(4, 10), Reading(7.5, 10), True),
        (Reading(4, 90), Reading(8, 75), False),
        (Reading(4, None), Reading(8, None), True),
        (Reading(50, 90), Reading(1, 60), True),
    ],
)
def test_relief_ends_at_the_low_mark(began: Reading, now: Reading, done: bool) -> None:
    assert memory.is_relieved(now, began, MARKS) is done


def test_relief_archives_the_longest_inactive_first_and_stops_at_the_low_mark(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """Never an active one; what was inactive for a moment only stays when that is enough."""
    for i in range(30):
        gone(store, f"d{i}", 1000 - i)
    store.ownership.register("active", node_id=A, sid="aaaa.active")

    def read(_store: RedisSessionStore) -> Reading:  # every session is 2 % of the memory
        return Reading(50, 30 + 2 * store.index.counts()["inactive"])

    outcome, before, after = memory.relieve(archiver, MARKS, never, read, batch=1)
    assert (before.redis_percent, after.redis_percent) == (90, 60)
    assert outcome.archived == 15
    assert [place_of(store, root, f"d{i}") for i in range(30)] == ["archived"] * 15 + [
        "inactive"
    ] * 15
    assert place_of(store, root, "active") == "active"


def test_relief_that_can_do_nothing_ends(store: RedisSessionStore, archiver: Archiver) -> None:
    """Only active ones: nothing is dropped."""
    store.ownership.register("active", node_id=A, sid="aaaa.active")
    outcome, _, _ = memory.relieve(archiver, MARKS, never, lambda _: Reading(1, 99))
    assert outcome == archive.Outcome()
    assert store.index.counts()["active"] == 1


def test_full_redis_is_relieved_by_the_loop_of_the_worker(
    own_server: RealServer, tmp_path: Path, key_prefix: str
) -> None:
    """At maxmemory nothing can be enqueued; a new worker connects, archives, and it goes on."""
    from service.config.loader import load_config
    from service.errors import Overloaded
    from workers import queue as queues
    from workers.schedule import Schedule
    from workers.watch import MemoryWatch

    config = load_config(
        None,
        {
            "redis.url": own_server.url,
            "redis.key_prefix": key_prefix,
            "archive.url": (tmp_path / "archive").as_uri(),
            "feed.max_bytes": 1000,
        },
    )
    first = SessionManager.connect(own_server.url, config)
    store = first.store
    for i in range(100):
        gone(store, f"d{i}", 1000 - i)
        p = store.keys.partition(f"d{i}")
        store.samples.append(p, A, next(NUMBERS), [part(f"d{i}", None, ("big", "x" * 50_000))])
    client: Any = store.runner.client
    limit = store.upkeep.redis_memory().used - 200_000
    client.config_set("maxmemory", limit)
    try:
        with pytest.raises(Overloaded):
            store.samples.append(0, A, next(NUMBERS), [part("d99", None, ("k", "y" * 1000))])
        manager = SessionManager.connect(own_server.url, config)
        with queues.connect(config) as raw:
            schedule = Schedule(raw, queues.open_queue(raw, key_prefix), Keys(key_prefix), [])
            MemoryWatch(config.memory, schedule).look(manager)
        assert store.upkeep.redis_memory().percent < 85  # type: ignore[operator]
        assert (
            store.samples.append(0, A, next(NUMBERS), [part("d99", None, ("k", 1))])[0].word == "ok"
        )
        places = [place_of(store, tmp_path / "archive", f"d{i}") for i in range(100)]
        assert places[0] == "archived"
        assert places[-1] == "inactive"
        for i in range(100):
            session = manager.get_session(f"d{i}")
            assert session is not None
            assert session["telemetry"]["big"] == "x" * 50_000
        manager.close()
    finally:
        client.config_set("maxmemory", 0)
        first.close()


# -- one archive per service --


def test_another_or_an_unmounted_archive_is_refused_at_the_start(
    redis_url: str, key_prefix: str, tmp_path: Path
) -> None:
    """Also none where there is one; a tool that only looks gets along without."""
    from service.config.loader import load_config
    from service.errors import ConfigError

    flags = {"redis.url": redis_url, "redis.key_prefix": key_prefix}
    root = tmp_path / "archive"

    def connect(url: str, *, lenient: bool = False) -> SessionManager:
        return SessionManager.connect(
            redis_url, load_config(None, {**flags, "archive.url": url}), lenient=lenient
        )

    first = connect(root.as_uri())
    gone(first.store, "d1")
    assert first.archiver is not None
    first.archiver.archive_sessions(["d1"])
    first.close()
    for url in ("", (tmp_path / "another").as_uri()):
        with pytest.raises(ConfigError, match=r"archive\.url: "):
            connect(url)
        tool = connect(url, lenient=True)
        assert tool.store.index.counts()["archived"] == 1
        assert [one["session_id"] for one in tool.get_sessions("archived")["sessions"]] == ["d1"]
        with pytest.raises(ArchiveUnavailable):
            tool.get_session("d1")
        with pytest.raises(ArchiveUnavailable):
            tool.delete_session("d1")
        tool.close()
    root.rename(tmp_path / "away")
    root.mkdir()  # the mount point
    with pytest.raises(ConfigError, match=r"archive\.url: "):
        connect(root.as_uri())
    assert list(root.iterdir()) == []
    shutil.rmtree(root)
    (tmp_path / "away").rename(root)
    again = connect(root.as_uri())
    assert again.get_session("d1")["state"] == "archived"  # type: ignore[index]
    again.close()


def test_reclaim_of_a_session_that_was_archived_meanwhile_brings_it_back_whole(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """A node slept while its session expired and was archived: it gets the session, not a bare one."""
    from tests.support.stores import holding

    own = store.ownership.register("d1", node_id=A, sid="aaaa.1", stream="")
    p = store.keys.partition("d1")
    store.samples.append(p, A, next(NUMBERS), [part("d1", own.generation, ("k", 1), seq=(1, 1))])
    store.ownership.disconnect(p, A, [("d1", "aaaa.1", own.generation)], "lease_expired")
    archiver.archive_sessions(["d1"])
    assert store.ownership.reclaim(p, A, [holding(own, "aaaa.1")]) == [("archived", None)]
    assert archiver.reclaim(p, A, [holding(own, "aaaa.1")]) == [("ok", None)]
    assert place_of(store, root) == "active"
    details = store.index.details("d1")
    assert details is not None
    assert details["telemetry"] == {"k": 1}
    assert details["last_seq"] == 1
    assert details["generation"] == own.generation


@pytest.mark.parametrize("step", ["tombstone", "files"])
def test_register_finishes_a_delete_that_was_cut_off(
    store: RedisSessionStore, archiver: Archiver, root: Path, step: str
) -> None:
    """No resurrection, and no device that waits for the tombstone's hour."""

    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        if name == step:
            raise Killed

    gone(store, "d1", 200)
    sweep(archiver)
    mortal = Archiver(store, archiver.archive, step=kill)
    with pytest.raises(Killed):
        mortal.delete("d1")
    fresh = archiver.register("d1", node_id=A, sid="aaaa.2")
    assert (fresh.resumed, fresh.restored) == (False, False)
    assert place_of(store, root) == "active"
    assert files_of(root) == []
