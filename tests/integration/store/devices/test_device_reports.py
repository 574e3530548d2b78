"""Requests of devices without a socket, by the rules over a store: what had its effect is said, whatever is refused."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service import errors
from service.live.commands.answers import CommandAnswers
from service.manager.core import ManagerCore
from service.manager.devices import DeviceManager
from service.manager.writer import SampleWriter
from service.schema.samples import Update, parse_update
from service.sessions.model import NewCommand
from service.sessions.store.devices import Said, Wait
from service.sessions.store.store import RedisSessionStore
from service.tasks import ThreadTasks
from tests.support.nodes.stores import make_store
from tests.support.told import Told


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, max_keys=2)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def devices(store: RedisSessionStore, told: Told) -> DeviceManager:
    core = ManagerCore(store, told)
    answers = CommandAnswers(store.commands, core.notify_waiters, ThreadTasks())
    return DeviceManager(core, SampleWriter(store.samples, "writer"), answers)


def update(seq: int | None = None, **values: Any) -> Update:
    fields: dict[str, Any] = {"data": values} if seq is None else {"data": values, "seq": seq}
    return parse_update(fields, 1_000.0, 1_000)


def queue(store: RedisSessionStore, command_id: str = "c1", waiter: str = "") -> None:
    store.commands.add("d1", NewCommand(command_id, "go", "null", 60_000, waiter=waiter))


def values(store: RedisSessionStore) -> dict[str, list[Any]]:
    return {
        key: [one[0] for one in rows] for key, rows in store.index.details("d1")["data"].items()
    }  # type: ignore[index]


RESULT = {"command_id": "c1", "ok": True}


def test_update_that_leaves_a_gap_is_refused_with_what_its_request_did(
    store: RedisSessionStore, devices: DeviceManager
) -> None:
    said = Said(stream="s")
    assert "rev" in devices.update("d1", said, update(1, k=1), [])
    queue(store)
    before = store.index.get("d1")
    with pytest.raises(errors.Conflict) as refused:
        devices.update("d1", said, update(3, k=3), [RESULT])
    assert refused.value.fields["expected_seq"] == 2
    assert refused.value.fields["results"] == [{"command_id": "c1", "status": "succeeded"}]
    assert values(store) == {"k": [1]}
    after = store.index.get("d1")
    assert before is not None and after is not None
    assert int(after["last_ping"]) > int(before["last_ping"])  # it was heard of


def test_repeated_update_is_said_to_be_one(
    store: RedisSessionStore, devices: DeviceManager
) -> None:
    said = Said(stream="s")
    devices.update("d1", said, update(1, k=1), [])
    answer = devices.update("d1", said, update(1, k=1), [])
    assert (answer["duplicate"], answer["last_seq"]) == (True, 1)
    assert values(store) == {"k": [1]}


def test_device_that_was_sent_away_has_no_effect_at_all(
    store: RedisSessionStore, devices: DeviceManager
) -> None:
    devices.update("d1", Said(), update(k=1), [])
    queue(store)
    store.ownership.kick("d1", 60_000)
    with pytest.raises(errors.RateLimited):
        devices.update("d1", Said(), update(k=2), [RESULT])
    assert values(store) == {"k": [1]}
    assert (store.commands.get("d1", "c1") or {})["status"] == "queued"


def test_too_many_keys_are_refused_and_the_device_was_heard_of(
    store: RedisSessionStore, devices: DeviceManager
) -> None:
    devices.update("d1", Said(), None, [])
    with pytest.raises(errors.TooLarge):
        devices.update("d1", Said(session_name="D"), update(a=1, b=2, c=3), [])
    assert store.index.details("d1")["session_name"] == "D"  # type: ignore[index]


def test_setup_is_sent_while_the_device_runs_an_older_one(
    store: RedisSessionStore, devices: DeviceManager
) -> None:
    devices.update("d1", Said(), None, [])
    store.setups.put("d1", b'{"a":1}')
    assert devices.update("d1", Said(), None, [])["setup"] == {"a": 1}
    assert "setup" not in devices.update("d1", Said(reported_version=1), None, [])
    assert "setup" not in devices.update("d1", Said(), None, [])  # it said so before


def test_result_of_a_session_that_nobody_knows_is_answered_for_itself(
    store: RedisSessionStore, devices: DeviceManager
) -> None:
    answer = devices.update("d1", Said(), update(k=1), [RESULT])
    assert answer["results"][0]["error"]["code"] == "command_not_found"
    assert values(store) == {"k": [1]}


def test_session_that_was_deleted_is_not_made_again_by_a_request_that_waits(
    store: RedisSessionStore, devices: DeviceManager
) -> None:
    devices.report("d1", Said(), wait=Wait("n#1", 5_000, begins=True))
    store.cleanup.delete("d1")
    with pytest.raises(errors.SessionNotFound):
        devices.report("d1", Said(), wait=Wait("n#1", 4_000, begins=False))
    assert store.index.get("d1") is None


def test_who_waits_for_delivery_is_told_when_the_device_has_a_command(
    store: RedisSessionStore, devices: DeviceManager, told: Told
) -> None:
    devices.update("d1", Said(), None, [])
    queue(store, waiter="host-bbbb")
    devices.update("d1", Said(seen=["c1"]), None, [])
    assert told.all == [("notify", "host-bbbb", "command")]
