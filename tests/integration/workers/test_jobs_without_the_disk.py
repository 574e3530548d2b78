"""Jobs while the archive cannot be opened: what takes no file is done, and what takes one says why not.

Found by `make chaos SEED=901`: each job opens the archive anew, and all of them failed there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from service import errors
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.observability.alarms import AlarmBook
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.quiet_sessions import gone
from tests.support.nodes.stores import make_store
from workers import jobs


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, flapping_registers=0, ttl_ms=60_000)


def unmounted(root: Path) -> None:
    root.rename(root.with_name("away"))


def another_disk(root: Path) -> None:
    unmounted(root)
    root.mkdir()


def no_marker(root: Path) -> None:
    """Stands for a disk that cannot be read."""
    (root / "muster-archive.json").unlink()


@pytest.mark.parametrize("away", [unmounted, another_disk, no_marker])
def test_jobs_do_what_takes_no_archive_while_it_cannot_be_opened(
    store: RedisSessionStore,
    client: redis.Redis,
    root: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    away: Callable[[Path], None],
) -> None:
    """TTLs are renewed, the alarm is raised, idle sessions are swept; a restore is tried again."""
    files = FileArchiveStore(root)
    files.open(files.claim())
    store.archive_index.settle("5" * 32, files.identify().store_id)
    gone(store, "archived", 3600)
    Archiver(store, Archive(files)).archive_sessions(["archived"])
    gone(store, "waits", 3600)
    client.pexpire(store.keys.session("waits"), 10_000)
    for name, value in (
        ("REDIS__URL", redis_url),
        ("REDIS__KEY_PREFIX", store.keys.prefix),
        ("ARCHIVE__URL", root.as_uri()),
        ("SESSIONS__TTL_S", "60"),
        ("SESSIONS__ARCHIVE_AFTER_S", "10"),
    ):
        monkeypatch.setenv(f"MUSTER_{name}", value)
    away(root)

    outcome = jobs.sweep_inactive()
    jobs.sweep_idle()
    jobs.watch_alarms()

    assert (outcome["archived"], bool(outcome["error"])) == (0, True)
    assert client.pttl(store.keys.session("waits")) > 30_000
    with jobs.open_jobs(jobs.load_config()) as queue:
        active = AlarmBook(store, queue).look()["active"]
    assert "archive_failing" in {alarm["name"] for alarm in active}
    with pytest.raises(errors.ServiceError) as refused:
        jobs.restore_session("archived")
    assert refused.value.retryable
