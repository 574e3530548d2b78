"""A Redis that gets full is relieved down to the low mark, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.archiving.archiver import Archiver
from service.config.settings import MemorySettings
from service.manager.manager import SessionManager
from service.sessions.store.keys import Keys
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer
from tests.support.archive.archiving import A, place_of
from tests.support.archive.quiet_sessions import NUMBERS, gone
from tests.support.nodes.stores import part
from workers import archive, memory
from workers.memory import Reading

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
