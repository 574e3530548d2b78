"""Reports of devices without a socket, at their edges: projects, sizes, attempts, and what they end or wait for."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service import errors
from service.sessions.model import NewCommand
from service.sessions.store.devices import MOST_COMMAND_BYTES, Reported, Said, Wait
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding, make_store

A = "host-aaaa"


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix)


def report(store: RedisSessionStore, **said: Any) -> Reported:
    names = ("commands", "at_least_ms", "wait")
    options = {name: said.pop(name) for name in names if name in said}
    return store.devices.report("d1", Said(**said), **{"create": True, **options})


def queue(store: RedisSessionStore, command_id: str, params: str = "null") -> None:
    store.commands.add("d1", NewCommand(command_id, "go", params, 60_000))


def status(store: RedisSessionStore, command_id: str = "c1") -> str:
    return str((store.commands.get("d1", command_id) or {})["status"])


def test_report_moves_a_session_from_project_to_project_and_both_are_told(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    report(store, project_id="p1")
    report(store, project_id="p2")
    lists = [client.zrange(store.keys.project(0, one), 0, -1) for one in ("p1", "p2")]
    assert lists == [[], ["d1"]]
    shown = client.xrevrange(store.keys.feed(0), count=1)[0][1]
    assert (shown["project_id"], shown["previous_project_id"]) == ("p2", "p1")


def test_report_of_what_is_archived_makes_no_other_session(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    client.hset(store.keys.archive_names(0), "d1", "abcd/d1~1-1.json.zst")
    with pytest.raises(errors.SessionNotFound):
        report(store)
    assert store.index.get("d1") is None


def deadline_ms(store: RedisSessionStore) -> float:
    """How long the device counts as active from now on."""
    return float(store.runner.client.zscore(store.keys.deadlines(0), "d1")) - store.now_ms()


def waits(store: RedisSessionStore, **said: Any) -> Reported:
    wait = Wait("host-aaaa#1", 60_000, begins=True)
    return report(store, expect_every_ms=1, at_least_ms=10_000, wait=wait, **said)


def test_device_whose_request_waits_is_not_overdue_meanwhile(store: RedisSessionStore) -> None:
    """Neither by another report, which says by itself that the next one comes soon."""
    waits(store)
    assert 9_000 < deadline_ms(store) <= 10_000
    report(store, expect_every_ms=1)
    assert 9_000 < deadline_ms(store) <= 10_000
    report(store, wait=Wait("host-aaaa#1", 0, begins=False))
    assert deadline_ms(store) <= 3


def test_wait_that_commands_end_is_over_for_the_deadline_too(store: RedisSessionStore) -> None:
    """At its beginning, and later."""
    report(store)
    queue(store, "c1")
    assert waits(store).commands
    assert deadline_ms(store) <= 3
    assert not waits(store, seen=["c1"]).commands
    queue(store, "c2")
    look = Wait("host-aaaa#1", 50_000, begins=False)
    assert report(store, at_least_ms=10_000, wait=look).commands
    assert deadline_ms(store) <= 3


def test_session_whose_device_reports_is_not_idle(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """It is swept by the device's own deadline."""
    store.ownership.create("d1")
    assert client.zscore(store.keys.idle(0), "d1") is not None
    report(store)
    assert client.zscore(store.keys.idle(0), "d1") is None


def test_command_that_the_device_has_is_delivered_however_it_came_there(
    store: RedisSessionStore,
) -> None:
    """The script that handed it out ran in a Redis that lost it since."""
    report(store)
    queue(store, "c1")
    assert [one.command_id for one in report(store, seen=["c1", "c9"]).delivered] == ["c1"]
    assert status(store) == "delivered"


def test_commands_of_one_answer_are_bounded_in_bytes(store: RedisSessionStore) -> None:
    report(store)
    params = f'"{"x" * (MOST_COMMAND_BYTES // 4)}"'
    for number in range(6):
        queue(store, f"c{number}", params)
    first = [one["command_id"] for one in report(store).commands]
    assert first == ["c0", "c1", "c2", "c3"]
    assert [one["command_id"] for one in report(store, seen=first).commands] == ["c4", "c5"]


def test_every_time_that_a_command_is_handed_out_is_an_attempt(store: RedisSessionStore) -> None:
    """Over HTTP and over a socket, also over the same one as before."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    queue(store, "c1")
    assert [one.attempt for one in store.commands.take("d1", own.generation)] == [1]
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "lost")
    attempts = [report(store).commands[0]["attempt"] for _ in range(3)]
    assert attempts == [2, 3, 4]
    assert store.ownership.reclaim(0, A, [holding(own, "aaaa.1")]) == [("ok", None)]
    assert [one.attempt for one in store.commands.take("d1", own.generation)] == [5]


def test_no_more_commands_are_handed_out_than_are_taken(store: RedisSessionStore) -> None:
    report(store)
    for number in range(3):
        queue(store, f"c{number}")
    assert len(report(store, commands=2).commands) == 2
    assert [status(store, f"c{number}") for number in range(3)] == ["sent", "sent", "queued"]


def test_command_for_now_has_its_whole_time_once_the_device_has_it(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    report(store, wait=Wait("host-aaaa#1", 60_000, begins=True))
    store.commands.add("d1", NewCommand("c1", "go", "null", 3_600_000, now=True))

    def left_ms() -> float:
        return float(client.zscore(store.keys.commands_due(0), "c1:d1")) - store.now_ms()

    assert left_ms() < 1_800_000
    report(store, seen=["c1"])
    assert left_ms() > 3_500_000


def test_note_of_a_request_ends_with_it_or_with_its_session(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """Its node may die."""
    report(store, wait=Wait("host-aaaa#1", 5_000, begins=True))
    assert 0 < client.pttl(store.keys.waiting("d1")) <= 5_000
    store.cleanup.delete("d1")
    assert not client.exists(store.keys.waiting("d1"))


def test_version_that_the_device_runs_is_shown(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    report(store)
    report(store, reported_version=2)
    assert client.xrevrange(store.keys.feed(0), count=1)[0][1]["reported_version"] == "2"
