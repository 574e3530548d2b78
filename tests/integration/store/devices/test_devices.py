"""Devices without a socket, in the store: sessions, deadlines, commands, waiting requests."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service import errors
from service.sessions.model import NewCommand
from service.sessions.store.devices import Reported, Said, Wait
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import index_of, make_store, part, through_grace
from tests.support.waiting import wait_until

HOUR_MS = 3_600_000


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, lease_ms=30)


def report(store: RedisSessionStore, session_id: str = "s1", **said: Any) -> Reported:
    options = {name: said.pop(name) for name in ("wait", "create", "commands") if name in said}
    return store.devices.report(session_id, Said(**said), **{"create": True, **options})


def queue(store: RedisSessionStore, command_id: str, **options: Any) -> Any:
    options = {"ttl_ms": 60_000, **options}
    return store.commands.add("s1", NewCommand(command_id, "reboot", '{"a":[]}', **options))


def shown(store: RedisSessionStore, session_id: str = "s1") -> dict[str, Any]:
    found = store.index.details(session_id)
    assert found is not None
    return found


def events(store: RedisSessionStore) -> list[str]:
    return [event["event"] for event in shown(store)["timeline"]]


def deadline_ms(store: RedisSessionStore) -> int:
    """How long the session counts as active from now on; 0: nothing is expected."""
    score = store.runner.client.zscore(store.keys.deadlines(0), "s1")
    return round(score - store.now_ms()) if score else 0


def test_first_report_makes_a_session_that_is_active_without_a_socket(
    store: RedisSessionStore,
) -> None:
    with pytest.raises(errors.SessionNotFound):
        report(store, create=False)
    made = report(store, session_name="Hall", project_id="p1", meta={"a": 1})
    assert (made.is_connected, made.last_seq, made.setup_version) == (False, 0, 0)
    found = shown(store)
    assert (found["state"], found["is_connected"], found["seen_by"]) == ("active", False, "http")
    assert (found["session_name"], found["project_id"], found["meta"]) == ("Hall", "p1", {"a": 1})
    assert index_of(store, "s1") == ["active"]
    assert events(store) == ["created", "active"]


def test_report_that_says_nothing_new_changes_neither_rev_nor_feed(
    store: RedisSessionStore,
) -> None:
    first = report(store, session_name="Hall", expect_every_ms=1000)
    last = store.samples.open_feed(0).last
    again = report(store, session_name="Hall", expect_every_ms=1000)
    assert again.rev == first.rev
    assert store.samples.open_feed(0).last == last


def test_deadline_is_three_times_what_the_device_ever_said_else_as_for_any_update(
    store: RedisSessionStore,
) -> None:
    report(store)
    assert 0 <= 300_000 - deadline_ms(store) < 5000
    report(store, expect_every_ms=HOUR_MS)
    report(store)
    assert 0 <= 3 * HOUR_MS - deadline_ms(store) < 5000
    assert shown(store)["expect_every_s"] == 3600
    report(store, expect_every_ms=1000)  # a shorter one counts at once
    assert deadline_ms(store) <= 3000


def test_device_that_misses_its_deadline_is_inactive_and_the_next_report_makes_it_active(
    store: RedisSessionStore,
) -> None:
    report(store, expect_every_ms=1)
    through_grace(store)
    wait_until(
        lambda: store.ownership.expire(0).word == "ok" and index_of(store, "s1") == ["inactive"], 3
    )
    assert shown(store)["state"] == "inactive"
    assert shown(store)["timeline"][-1]["reason"] == "overdue"
    report(store)
    assert shown(store)["state"] == "active"
    assert index_of(store, "s1") == ["active"]


def test_device_that_is_overdue_stays_active_while_others_update_its_session(
    store: RedisSessionStore,
) -> None:
    report(store, expect_every_ms=1)
    store.samples.append(0, "writer", 1, [part("s1", None, ("k", 1))])
    through_grace(store)
    wait_until(lambda: store.ownership.expire(0).word == "ok" and not deadline_ms(store), 3)
    assert index_of(store, "s1") == ["active"]


def test_sensor_that_reports_hourly_outlives_the_sweep_of_idle_sessions(
    store: RedisSessionStore,
) -> None:
    report(store, expect_every_ms=HOUR_MS)
    store.samples.append(0, "w", 1, [part("s1", None, ("k", 1))])  # by an operator
    store.runner.client.zadd(store.keys.idle(0), {"s1": 1})  # long ago
    store.cleanup.sweep_idle(0)
    assert index_of(store, "s1") == ["active"]
    assert store.runner.client.zscore(store.keys.idle(0), "s1") is None


def test_end_of_a_socket_is_seen_at_once_whatever_was_reported_before(
    store: RedisSessionStore,
) -> None:
    report(store, expect_every_ms=HOUR_MS)
    made = store.ownership.register("s1", node_id="host-aaaa", sid="aaaa.1")
    assert deadline_ms(store) == 0
    while_connected = report(store)
    assert while_connected.is_connected
    assert (deadline_ms(store), shown(store)["seen_by"]) == (0, "socket")
    store.ownership.disconnect(0, "host-aaaa", [("s1", "aaaa.1", made.generation)], "left")
    assert shown(store)["state"] == "inactive"
    assert deadline_ms(store) == 0


def test_nothing_is_expected_of_a_session_that_was_made_inactive(
    store: RedisSessionStore,
) -> None:
    report(store, expect_every_ms=HOUR_MS)
    assert store.cleanup.deactivate(["s1"]) == 1
    assert index_of(store, "s1") == ["inactive"]
    assert deadline_ms(store) == 0
    assert store.runner.client.zscore(store.keys.asleep(0), "s1") is None


def test_report_changes_nothing_about_the_owner(store: RedisSessionStore) -> None:
    made = store.ownership.register("s1", node_id="host-aaaa", sid="aaaa.1")
    report(store)
    fields = store.index.get("s1") or {}
    assert (fields["generation"], fields["sid"]) == (str(made.generation), "aaaa.1")
    [stored] = store.samples.append(0, "w", 1, [part("s1", made.generation, ("k", 1))])
    assert stored.word == "ok"


def test_command_is_sent_once_and_handed_out_until_it_was_seen(store: RedisSessionStore) -> None:
    report(store)
    queue(store, "c1")
    last = store.samples.open_feed(0).last
    [first] = report(store).commands
    assert first == {"command_id": "c1", "command": "reboot", "params": {"a": []}, "attempt": 1}
    assert store.samples.open_feed(0).last == last + 1  # its new status
    rev = shown(store)["rev"]
    [second] = report(store).commands
    assert second["attempt"] == 2
    assert shown(store)["rev"] == rev
    assert store.samples.open_feed(0).last == last + 1
    seen = report(store, seen=["c1", "unknown"])
    assert [change.command_id for change in seen.delivered] == ["c1"]
    assert seen.commands == []
    assert (store.commands.get("s1", "c1") or {})["status"] == "delivered"
    assert events(store)[-3:] == ["command_queued", "command_sent", "command_delivered"]


def test_bytes_of_a_session_stay_right_when_commands_are_handed_out(
    store: RedisSessionStore,
) -> None:
    report(store, meta={"a": 1})
    for i in range(12):
        queue(store, f"c{i}")
    for _ in range(12):
        report(store, meta={"b": "longer"})
    held = shown(store)["statistics"]["bytes_held"]
    store.runner.client.hset(store.keys.session("s1"), "counted", "")
    store.samples.append(0, "w", 1, [part("s1", None, ("k", 1))])
    counted = shown(store)["statistics"]["bytes_held"]
    assert counted == held + len("[1,1.5]") * 2 + 1


def test_socket_is_sent_what_was_handed_out_over_http_and_not_seen(
    store: RedisSessionStore,
) -> None:
    report(store)
    queue(store, "c1")
    report(store)
    made = store.ownership.register("s1", node_id="host-aaaa", sid="aaaa.1")
    [taken] = store.commands.take("s1", made.generation)
    assert (taken.change.command_id, taken.attempt) == ("c1", 2)
    assert report(store).commands == []


def test_result_without_a_socket_ends_a_command_and_twice_is_as_once(
    store: RedisSessionStore,
) -> None:
    report(store)
    queue(store, "c1")
    for is_first in (True, False):
        done = store.commands.finish("s1", None, "c1", ok=True, result_json='{"n":1}')
        assert done is not None
        assert (done.status, done.changed) == ("succeeded", is_first)


def test_default_time_to_live_of_a_command_covers_three_reports(store: RedisSessionStore) -> None:
    report(store, expect_every_ms=HOUR_MS)
    added = queue(store, "c1", is_default_ttl=True).view
    assert added["ends_at"] - added["created_at"] == pytest.approx(3 * 3600)
    chosen = queue(store, "c2").view
    assert chosen["ends_at"] - chosen["created_at"] == pytest.approx(60)


def test_command_for_now_needs_a_socket_or_a_waiting_request(store: RedisSessionStore) -> None:
    report(store)
    with pytest.raises(errors.DeviceOffline):
        queue(store, "c1", now=True)
    report(store, wait=Wait("host-bbbb#1", 10_000, begins=True))
    added = queue(store, "c2", now=True)
    assert added.owner is not None
    assert (added.owner.node_id, added.owner.sid) == ("host-bbbb", "")


def test_waiting_request_is_noted_until_it_ends_or_another_one_waits(
    store: RedisSessionStore,
) -> None:
    report(store, wait=Wait("a#1", 10_000, begins=True))
    later = report(store, wait=Wait("b#1", 10_000, begins=True))
    assert later.former == "a#1"
    with pytest.raises(errors.Conflict):
        report(store, wait=Wait("a#1", 5000, begins=False))
    report(store, wait=Wait("b#1", 0, begins=False))
    with pytest.raises(errors.DeviceOffline):
        queue(store, "c1", now=True)
    queue(store, "c2")
    handed = report(store, wait=Wait("b#2", 10_000, begins=True))
    assert len(handed.commands) == 1
    assert not store.runner.client.exists(store.keys.waiting("s1"))


def test_session_that_was_deleted_is_another_one_for_its_device(store: RedisSessionStore) -> None:
    made = store.ownership.register("s1", node_id="host-aaaa", sid="aaaa.1")
    store.cleanup.delete("s1")
    report(store)
    assert int((store.index.get("s1") or {})["generation"]) == made.generation + 1
    store.cleanup.delete("s1")
    assert deadline_ms(store) == 0
    assert index_of(store, "s1") == []
