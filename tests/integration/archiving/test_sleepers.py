"""Sessions whose device sleeps without a socket leave Redis, and stay active in lists."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service.archiving.archiver import Archiver
from service.manager.core import ManagerCore
from service.manager.devices import DeviceManager
from service.manager.manager import SessionManager
from service.manager.writer import SampleWriter
from service.sessions.model import NewCommand
from service.sessions.store.devices import Reported, Said, Wait
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import index_of, keys_of, make_store, through_grace
from tests.support.told import Told
from tests.support.waiting import wait_until
from workers.archive import run_for, sweep_inactive

HOUR_MS = 3_600_000


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, lease_ms=30)


@pytest.fixture
def devices(store: RedisSessionStore, archiver: Archiver) -> DeviceManager:
    answers: Any = None  # no results come
    core = ManagerCore(store, Told(), archiver=archiver)
    return DeviceManager(core, SampleWriter(store.samples, "writer"), answers)


@pytest.fixture
def manager(store: RedisSessionStore, archiver: Archiver) -> SessionManager:
    return SessionManager(store, Told(), archiver=archiver)


def asleep(devices: DeviceManager, every_ms: int = HOUR_MS, **options: Any) -> Reported:
    return devices.report("d1", Said(session_name="Meter", expect_every_ms=every_ms), **options)


def states(manager: SessionManager) -> dict[str, list[str]]:
    """What each list shows, and the state that it says."""
    lists = ("active", "inactive", "archived")
    found = {one: manager.get_sessions(one)["sessions"] for one in lists}
    return {one: [row["state"] for row in rows] for one, rows in found.items() if rows}


def test_sleeper_is_archived_stays_active_and_comes_back_with_its_next_request(
    store: RedisSessionStore, archiver: Archiver, devices: DeviceManager, manager: SessionManager,
    client: redis.Redis, key_prefix: str,
) -> None:  # fmt: skip
    asleep(devices)
    manager.update_telemetry("d1", {"kwh": 7})
    assert sweep_inactive(store, archiver, -1, 10).archived == 1
    assert keys_of(client, key_prefix, "d1") == []
    assert states(manager) == {"active": ["active"]}
    shown = manager.details("d1")
    assert shown is not None
    assert (shown["state"], shown["telemetry"], shown["seen_by"]) == ("active", {"kwh": 7}, "http")
    assert sweep_inactive(store, archiver, -1, 10).archived == 0

    asleep(devices)
    assert states(manager) == {"active": ["active"]}
    back = manager.details("d1")
    assert back is not None
    assert (back["telemetry"], back["expect_every_s"]) == ({"kwh": 7}, 3600)
    assert [event["event"] for event in back["timeline"]] == [
        "created", "active", "archived", "restored",
    ]  # fmt: skip


def test_command_brings_a_sleeper_back_as_active(
    store: RedisSessionStore, archiver: Archiver, devices: DeviceManager, manager: SessionManager
) -> None:
    asleep(devices)
    archiver.archive_sessions(["d1"])
    manager.queue_command("d1", "reboot")
    assert index_of(store, "d1") == ["active"]
    assert states(manager) == {"active": ["active"]}
    assert [one["command"] for one in asleep(devices).commands] == ["reboot"]


def test_sleeper_in_the_archive_that_is_overdue_is_archived_for_lists(
    store: RedisSessionStore, archiver: Archiver, devices: DeviceManager, manager: SessionManager
) -> None:
    asleep(devices)
    archiver.archive_sessions(["d1"])
    last = store.samples.open_feed(0).last
    store.runner.client.zadd(store.keys.deadlines(0), {"d1": 1})
    through_grace(store)
    wait_until(
        lambda: (
            store.ownership.expire(0).word == "ok" and states(manager) == {"archived": ["archived"]}
        ),
        3,
    )
    shown = manager.details("d1")
    assert shown is not None and shown["state"] == "archived"
    [entry] = store.runner.client.xrange(store.keys.feed(0), min=f"{last + 1}-0")
    assert (entry[1]["state"], entry[1]["session_name"]) == ("archived", "Meter")
    asleep(devices)
    assert states(manager) == {"active": ["active"]}


def test_device_that_is_there_is_no_sleeper(
    store: RedisSessionStore, archiver: Archiver, devices: DeviceManager
) -> None:
    asleep(devices, wait=Wait("node#1", 10_000, begins=True))
    assert [one.word for one in archiver.archive_sessions(["d1"])] == ["busy"]
    asleep(devices, wait=Wait("node#1", 0, begins=False))
    store.commands.add("d1", NewCommand("c1", "go", "null", 60_000))
    assert store.upkeep.quiet(["d1"]) == []
    store.ownership.register("d1", node_id="n", sid="s")
    assert list(store.upkeep.longest_unused(store.now_ms() + 1000, 10)) == []


def test_sleeper_that_is_deleted_is_in_no_list(
    archiver: Archiver, devices: DeviceManager, manager: SessionManager, store: RedisSessionStore
) -> None:
    asleep(devices)
    archiver.archive_sessions(["d1"])
    manager.delete_session("d1")
    assert states(manager) == {}
    assert store.runner.client.zcard(store.keys.deadlines(0)) == 0


def test_ttl_of_a_sleeper_that_cannot_be_archived_is_renewed(
    client: redis.Redis, key_prefix: str, archiver: Archiver
) -> None:
    short = make_store(client, key_prefix, ttl_ms=20_000)
    short.devices.report("d1", Said(expect_every_ms=HOUR_MS), create=True)
    wide = make_store(client, key_prefix, ttl_ms=40_000)
    client.zadd(short.keys.asleep(0), {"d1": 1})
    assert wide.upkeep.extend_ttls(0, 10) == 1
    assert client.pttl(short.keys.session("d1")) > 30_000
    assert run_for(1)() is False
