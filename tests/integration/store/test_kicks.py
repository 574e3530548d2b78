"""Devices that an operator sends away: their sessions, their registers, reports and claims."""

from __future__ import annotations

import pytest
import redis

from service import errors
from service.sessions.model import NewCommand
from service.sessions.store.devices import Said, Wait
from service.sessions.store.ownership import Kicked
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding, index_of, make_store
from tests.support.waiting import wait_until

A, B = "host-aaaa", "host-bbbb"
HOUR_MS = 3_600_000


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix)


def register(store: RedisSessionStore, sid: str, node_id: str = A) -> int:
    return store.ownership.register("d1", node_id=node_id, sid=sid).generation


def kick(store: RedisSessionStore, away_ms: int = 60_000) -> Kicked:
    return store.ownership.kick("d1", away_ms)


def last_event(store: RedisSessionStore) -> dict[str, object]:
    return store.index.timeline("d1")[-1]


def test_kick_frees_the_session_and_names_the_socket(store: RedisSessionStore) -> None:
    register(store, "aaaa.1")
    kicked = kick(store)
    assert kicked.owner is not None
    assert (kicked.owner.node_id, kicked.owner.sid, kicked.was_there) == (A, "aaaa.1", True)
    assert index_of(store, "d1") == ["inactive"]
    found = store.index.get("d1") or {}
    assert (found["is_connected"], found["disconnect_reason"]) == ("0", "kicked")
    assert (last_event(store)["event"], last_event(store)["node_id"]) == ("kicked", A)
    assert store.ownership.owned(0, A) == set()


def test_registers_are_refused_for_as_long_as_was_said_also_after_a_delete(
    store: RedisSessionStore,
) -> None:
    register(store, "aaaa.1")
    kick(store, 300)
    store.cleanup.delete("d1")
    with pytest.raises(errors.RateLimited) as refused:
        register(store, "bbbb.1", B)
    assert 0 < refused.value.fields["retry_after_s"] <= 0.3

    def may_register() -> bool:
        try:
            return register(store, "bbbb.1", B) > 0
        except errors.RateLimited:
            return False

    wait_until(may_register, 3)


def test_kick_without_a_time_lets_the_device_come_back_at_once(store: RedisSessionStore) -> None:
    register(store, "aaaa.1")
    kick(store, 0)
    assert register(store, "bbbb.1", B)


def test_time_that_a_clock_which_jumped_back_makes_longer_refuses_nobody(
    store: RedisSessionStore,
) -> None:
    register(store, "aaaa.1")
    kick(store)
    key = store.keys.kicked("d1")
    later = store.now_ms() + 30 * HOUR_MS
    store.runner.client.set(key, f'["{later}","t","{A}","aaaa.1","","1"]')
    assert register(store, "bbbb.1", B)
    store.devices.check_away("d1")


def test_same_call_again_after_a_lost_reply_answers_the_same_and_changes_nothing(
    store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(store, "aaaa.1")
    monkeypatch.setattr("secrets.token_hex", lambda _: "same")
    first, lines = kick(store), len(store.index.timeline("d1"))
    assert kick(store) == first
    assert len(store.index.timeline("d1")) == lines


def test_another_kick_replaces_the_time_by_a_shorter_one_too(store: RedisSessionStore) -> None:
    first = register(store, "aaaa.1")
    kick(store)
    with pytest.raises(errors.RateLimited):
        register(store, "aaaa.2")
    kick(store, 0)
    assert register(store, "aaaa.2") > first


def test_another_kick_names_the_socket_again_which_may_not_know(store: RedisSessionStore) -> None:
    register(store, "aaaa.1")
    first, second = kick(store), kick(store)
    assert second.owner == first.owner
    assert not second.was_there


def test_node_that_was_not_told_gets_the_session_back_for_no_kicked_socket(
    store: RedisSessionStore,
) -> None:
    made = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    kick(store, 0)
    assert store.ownership.reclaim(0, A, [holding(made, "aaaa.1")]) == [("kicked", None)]
    assert index_of(store, "d1") == ["inactive"]
    assert store.ownership.reclaim(0, A, [holding(made, "aaaa.2")]) == [("ok", None)]


def test_kick_of_a_device_that_is_not_there_counts_all_the_same(store: RedisSessionStore) -> None:
    store.ownership.create("d1")
    assert kick(store) == Kicked(None, "", False)
    assert last_event(store)["event"] == "kicked"
    with pytest.raises(errors.RateLimited):
        register(store, "aaaa.1")
    with pytest.raises(errors.SessionNotFound):
        store.ownership.kick("d2", 0)


def test_device_without_a_socket_is_inactive_at_once_and_its_request_is_named(
    store: RedisSessionStore,
) -> None:
    wait = Wait(f"{A}#1", 20_000, True)
    store.devices.report("d1", Said(expect_every_ms=HOUR_MS), create=True, wait=wait)
    assert kick(store) == Kicked(None, A, True)
    assert index_of(store, "d1") == ["inactive"]
    assert store.runner.client.zscore(store.keys.deadlines(0), "d1") is None
    for again in (Wait(f"{A}#1", 20_000, False), None):
        with pytest.raises(errors.RateLimited):
            store.devices.report("d1", Said(), create=True, wait=again)
    with pytest.raises(errors.RateLimited):
        store.devices.check_away("d1")
    assert index_of(store, "d1") == ["inactive"]


def test_no_command_is_for_now_when_the_request_that_waited_was_sent_away(
    store: RedisSessionStore,
) -> None:
    wait = Wait("host-aaaa#1", 60_000, begins=True)
    store.devices.report("d1", Said(), create=True, wait=wait)
    now = NewCommand("c1", "go", "{}", 60_000, now=True)
    kick(store, 0)
    with pytest.raises(errors.DeviceOffline):
        store.commands.add("d1", now)
