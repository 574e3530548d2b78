"""A number of a setup names one document for ever: also where Redis has lost some, or the session was made again."""

from __future__ import annotations

import dataclasses

import pytest
import redis

from service import errors
from service.manager.devices import answer_of
from service.manager.manager import SessionManager
from service.sessions.model import Registration, SetupState
from service.sessions.store.devices import Reported, Said
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding
from tests.support.told import told

A = "host-aaaa"


def report(store: RedisSessionStore, version: int) -> Reported:
    return store.devices.report("d1", Said(reported_version=version), create=True)


def fall_back(client: redis.Redis, store: RedisSessionStore) -> None:
    """Redis has the setup as it was one change before, and a device that confirmed it."""
    before = store.setups.get("d1").version - 1
    client.hset(
        store.keys.session("d1"), mapping={"setup_version": before, "reported_version": before}
    )
    client.set(store.keys.setup("d1"), client.lindex(store.keys.undo("d1"), -1) or "null")


def reclaim(store: RedisSessionStore, own: Registration, version: int) -> None:
    held = dataclasses.replace(holding(own, "aaaa.1"), setup_version=version)
    assert store.ownership.reclaim(0, A, [held]) == [("ok", None)]


def lose_setup(
    store: RedisSessionStore, manager: SessionManager, client: redis.Redis, own: Registration
) -> None:
    """Version 2 of two is lost, its device has it, and its node has reclaimed it."""
    for setup in ("kept", "lost"):
        manager.update_setup("d1", setup)
    fall_back(client, store)
    reclaim(store, own, 2)


def in_sync(store: RedisSessionStore) -> bool:
    details = store.index.details("d1")
    assert details is not None
    return bool(details["in_sync"])


def test_change_has_a_number_above_what_the_device_says_it_runs(store: RedisSessionStore) -> None:
    """The session was deleted, and its device reports the setup that it had in its former life."""
    report(store, 4)
    assert store.setups.put("d1", b'"new"').version == 5
    assert answer_of(report(store, 4))["setup"] == "new"


def test_report_of_a_version_that_cannot_be_changes_no_numbers(store: RedisSessionStore) -> None:
    report(store, 9_007_199_254_740_991)
    assert store.setups.put("d1", b"1").version == 1


def test_device_that_runs_a_version_that_redis_has_lost_is_given_the_present_one(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    report(store, 0)
    store.setups.put("d1", b'"kept"')
    store.setups.put("d1", b'"lost"')
    fall_back(client, store)
    assert answer_of(report(store, 2), 2)["setup"] == "kept"
    assert "setup" not in answer_of(report(store, 1), 1)


def test_device_that_runs_a_lost_setup_is_given_none_where_there_is_none(
    store: RedisSessionStore,
) -> None:
    assert "setup" not in answer_of(report(store, 4), 4)


def test_in_another_life_of_redis_no_number_is_given_that_may_have_been_given(
    store: RedisSessionStore, client: redis.Redis, own: Registration
) -> None:
    """A failover, or a restored backup, may have taken changes that devices run."""
    assert [store.setups.put("d1", b"1").version for _ in range(2)] == [1, 2]
    client.hset(store.keys.session("d1"), "setup_life", "another")
    assert 102 < store.setups.put("d1", b"2").version < 203
    first = store.setups.put("d1", b"3").version
    assert store.setups.undo("d1").version == first + 1


def test_device_that_stayed_connected_is_not_in_sync_and_gets_the_setup_that_is_left(
    store: RedisSessionStore,
    manager: SessionManager,
    client: redis.Redis,
    own: Registration,
) -> None:
    manager.update_setup("d1", "kept")
    manager.update_setup("d1", "lost")
    assert store.setups.reported("d1", own.generation, 2)
    fall_back(client, store)
    assert in_sync(store)
    reclaim(store, own, 2)
    assert not in_sync(store)
    told(manager).clear()
    manager.bring_back_setups(["d1", "unknown"])
    assert told(manager) == [("emit", "aaaa.1", "setup")]
    state = store.setups.get("d1")
    assert (state.setup, state.version, state.undo) == ("kept", 3, 2)
    assert [store.setups.version("d1", number) for number in (1, 3)] == ["kept", "kept"]
    assert store.setups.reported("d1", own.generation, 3)
    manager.bring_back_setups(["d1"])
    assert len(told(manager)) == 1
    assert in_sync(store)


def test_setup_that_was_given_again_without_an_answer_is_sent_when_it_is_repeated(
    store: RedisSessionStore,
    manager: SessionManager,
    client: redis.Redis,
    own: Registration,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lose_setup(store, manager, client, own)
    told(manager).clear()

    def lose_answer(session_id: str) -> SetupState:
        again(session_id)
        raise errors.StoreUnavailable

    again = store.setups.again
    with monkeypatch.context() as patched:
        patched.setattr(store.setups, "again", lose_answer)
        with pytest.raises(errors.StoreUnavailable):
            manager.bring_back_setups(["d1"])
    assert told(manager) == []
    manager.bring_back_setups(["d1"])
    assert told(manager) == [("emit", "aaaa.1", "setup")]
    assert store.setups.get("d1").version == 3


def test_number_of_a_lost_setup_that_an_earlier_program_gave_again_is_not_kept(
    store: RedisSessionStore, manager: SessionManager, client: redis.Redis, own: Registration
) -> None:
    """Nodes of it run next to this one during an update: they count on by one."""
    lose_setup(store, manager, client, own)
    client.hincrby(store.keys.session("d1"), "setup_version", 1)
    manager.bring_back_setups(["d1"])
    assert store.setups.get("d1").version == 3


def test_reclaim_that_is_repeated_changes_nothing_more(
    store: RedisSessionStore, manager: SessionManager, client: redis.Redis, own: Registration
) -> None:
    lose_setup(store, manager, client, own)
    before = store.index.get("d1")
    reclaim(store, own, 2)
    assert store.index.get("d1") == before


def test_reclaim_of_a_device_that_has_the_present_setup_changes_nothing(
    store: RedisSessionStore, manager: SessionManager, own: Registration
) -> None:
    manager.update_setup("d1", "kept")
    store.setups.reported("d1", own.generation, 1)
    before = store.index.get("d1")
    reclaim(store, own, 1)
    manager.bring_back_setups(["d1"])
    assert store.index.get("d1") == before


@pytest.mark.parametrize("version", [0, 1007])
def test_emptied_redis_numbers_setups_above_what_connected_devices_may_have_had(
    store: RedisSessionStore, client: redis.Redis, own: Registration, key_prefix: str, version: int
) -> None:
    client.delete(*client.scan_iter(f"{key_prefix}:*"))
    reclaim(store, own, version)
    state = store.setups.get("d1")
    assert (state.setup, state.version) == (None, 0)
    first = store.setups.put("d1", b'"first"', expected_version=0).version
    assert version + 100 < first < version + 201  # it may not have confirmed the last ones
    assert store.setups.put("d1", b'"second"').version == first + 1


def test_session_that_came_back_older_numbers_setups_above_what_its_device_may_have_had(
    store: RedisSessionStore, client: redis.Redis, own: Registration
) -> None:
    """The file of an archived session was restored in the same life of Redis, which was emptied."""
    assert store.setups.put("d1", b"1").version == 1
    before = {"generation": own.generation - 1, "is_connected": 0}
    client.hset(store.keys.session("d1"), mapping=before)
    reclaim(store, own, 1)
    assert store.setups.put("d1", b"2").version > 101
