"""Sweeps and retention at a real server and a real disk, in this process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.archiving.null import NullArchiver
from service.config.settings import RetentionSettings
from service.manager.manager import SessionManager
from service.sessions.model import NewCommand
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import A, Silent, files_of, place_of
from tests.support.archive.quiet_sessions import DAY_MS, NUMBERS, gone, sweep, verdicts
from tests.support.nodes.stores import part
from workers import archive


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
    order = list(store.upkeep.longest_unused(store.now_ms(), 3))
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
    store: RedisSessionStore, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an archive too: sessions then stay in Redis for ever."""
    monkeypatch.setattr(archive, "EXTENDED", 2)
    for i in range(9):
        gone(store, f"d{i}", 45)
        client.pexpire(store.keys.session(f"d{i}"), 20_000)
    for _ in range(12):
        sweep(NullArchiver(store))
    assert store.upkeep.read()["ttls_extended"] == "9"
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
    assert all(not one.wrong for one in verdicts(archiver))
    manager = SessionManager(store, Silent(), archiver=archiver)
    for session_id, value in values.items():
        place_of(store, small_disk / "archive", session_id)
        assert manager.get_session(session_id)["telemetry"]["big"] == value  # type: ignore[index]
    ballast.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert not sweep(archiver).error
    assert store.index.counts() == {"active": 0, "inactive": 0, "archived": 40}


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
