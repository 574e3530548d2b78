"""Guarantees 4 and 5 on real nodes: gapless dashboards, slow ones contained, exact clients."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import Cluster, MakeCluster
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.end_to_end

QUICK = {
    "sessions__lease_s": 2,
    "sessions__renew_s": 0.5,
    "limits__flapping_registers": 0,
    "node__ping_timeout_s": 60,  # who does not read answers no pings either
}

#: Runs a test over both ways in which a node can be built.
both_modes = pytest.mark.parametrize("pair", ["eventlet", "gevent"], indirect=True)


@pytest.fixture
def pair(request: pytest.FixtureRequest, cluster: MakeCluster) -> Iterator[Cluster]:
    """Two nodes with short leases, which must not have logged a defect in the end."""
    mode = getattr(request, "param", "eventlet")
    made = cluster(nodes=2, node__async_mode=mode, **QUICK)
    yield made
    assert made.tracebacks() == []


def batches(dashboard: Bare, session_id: str) -> list[Any]:
    """The values a dashboard was told of one session, in order, from batches."""
    return [
        sample[1]
        for payload in dashboard.events("session_data_updates")
        for one, _, samples in payload["updates"]
        if one == session_id
        for sample in samples
    ]


def last_cursor(dashboard: Bare) -> str:
    """The newest cursor it was given by an event."""
    told = dashboard.events("sessions_update", "session_data_updates")
    return str([payload["cursor"] for payload in told if payload.get("cursor")][-1])


def fleet_of(answers: list[dict[str, Any]], dashboard: Bare) -> dict[str, str]:
    """Session → state, from the pages of a snapshot and what was told afterwards."""
    fleet: dict[str, str] = {}
    for answer in answers:
        for one in answer["active"] + answer["inactive"]:
            fleet[one["session_id"]] = one["state"]
    for update in dashboard.events("sessions_update"):
        for session_id in update["removed"]:
            fleet.pop(session_id, None)
        fleet.update((one["session_id"], one["state"]) for one in update["changed"])
    return fleet


def fleet_in(pair: Cluster) -> dict[str, str]:
    """Session → state as Redis has it."""
    fleet = {}
    for state in ("active", "inactive"):
        cursor = None
        while True:
            page = pair.store.index.page(state, limit=500, cursor=cursor)
            fleet.update((item["session_id"], state) for item in page.items)
            cursor = page.next
            if cursor is None:
                break
    return fleet


class Stream:
    """A device that counts up, 1, 2, 3, …, without a pause, each value acked before the next."""

    def __init__(self, url: str, session_id: str) -> None:
        self._device = Bare.device(url, session_id)
        self._stopped = threading.Event()
        self.acked = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            value = self.acked + 1
            answer = self._device.call("update_data", {"key": "n", "value": value, "seq": value})
            assert answer["ok"], answer
            self.acked = value

    def stop(self) -> int:
        """The last value that was acked."""
        self._stopped.set()
        self._thread.join(60)
        self._device.close()
        return self.acked


def test_snapshot_and_every_change_on_the_other_node(pair: Cluster) -> None:
    """What happens on one node is seen on the other: data, state, setup, commands, removal."""
    first, second = pair.urls
    device = Bare.device(first, "d1", answer=lambda payload: [{"ok": True}])
    device.ok("update_data", {"key": "speed", "value": 1, "ts": 5})
    dashboard = Bare(second)
    answer = dashboard.ok("register_vue", {})
    [summary] = answer["active"]
    assert (summary["session_id"], summary["node_id"]) == ("d1", pair.nodes[0].node_id)
    rev = device.ok("update_data", {"data": {"speed": 2, "mode": "auto"}, "ts": 6})["rev"]
    wait_until(lambda: len(dashboard.events("session_data_key_update")) == 2)
    updates = {one["key"]: one for one in dashboard.events("session_data_key_update")}
    assert updates["speed"]["value"] == 2 and updates["mode"]["ts"] == 6
    assert max(one["rev"] for one in updates.values()) == rev
    edit = dashboard.ok("update_setup", {"session_id": "d1", "setup": {"rate": 5}})
    assert edit["setup_version"] == 1
    wait_until(lambda: device.events("setup") == [{"setup": {"rate": 5}, "setup_version": 1}])
    device.ok("update_setup", {"reported_version": 1})

    def is_in_sync() -> bool:
        changed = [c for u in dashboard.events("sessions_update") for c in u["changed"]]
        return any(one["setup_version"] == 1 and one["in_sync"] for one in changed)

    wait_until(is_in_sync)
    session = dashboard.ok("get_active_session", {"device_id": "d1"})["session"]
    assert session["data"]["speed"] == [[1, 5], [2, 6]]
    dashboard.ok("delete_session", {"device_id": "d1"})
    wait_until(lambda: any("d1" in u["removed"] for u in dashboard.events("sessions_update")))
    wait_until(lambda: device.is_closed)
    assert device.events("deleted") == [{"session_id": "d1"}]
    dashboard.close()


@both_modes
def test_resume_by_cursor_on_the_other_node_tells_exactly_what_was_missed(pair: Cluster) -> None:
    """Cut off again and again, on alternating nodes, under load: every value once, in order."""
    stream = Stream(pair.urls[0], "d1")
    wait_until(lambda: stream.acked > 3)
    wanted = {"scope": {"sessions": ["d1"]}, "batch": True, "interval_ms": 20}
    dashboard = Bare(pair.urls[1])
    answer = dashboard.ok("register_vue", wanted)
    assert answer["recovered"] is False
    seen: list[int] = []
    rev = answer["active"][0]["rev"]
    for turn in range(4):
        wait_until(lambda d=dashboard: len(batches(d, "d1")) > 10)
        dashboard.drop()
        seen += batches(dashboard, "d1")
        cursor = last_cursor(dashboard)
        missed_from = stream.acked
        wait_until(lambda n=missed_from: stream.acked > n + 20)
        dashboard = Bare(pair.urls[turn % 2])
        answer = dashboard.ok("register_vue", {**wanted, "cursor": cursor})
        assert answer["recovered"] is True and answer["active"] == []
    last = stream.stop()
    wait_until(lambda: batches(dashboard, "d1")[-1:] == [last])
    seen += batches(dashboard, "d1")
    assert seen == list(range(seen[0], last + 1))
    assert rev  # what the snapshot had came before what was told
    dashboard.close()


def test_kill_9_of_the_dashboards_node_resumes_on_the_other(pair: Cluster) -> None:
    """The cursor is worth as much on another node when the first one is dead."""
    stream = Stream(pair.urls[1], "d1")
    wanted = {"batch": True}
    dashboard = Bare(pair.urls[0])
    dashboard.ok("register_vue", wanted)
    wait_until(lambda: len(batches(dashboard, "d1")) > 5)
    pair.nodes[0].kill()
    wait_until(lambda: dashboard.is_closed)
    seen = batches(dashboard, "d1")
    again = Bare(pair.urls[1])
    answer = again.ok("register_vue", {**wanted, "cursor": last_cursor(dashboard)})
    assert answer["recovered"] is True
    last = stream.stop()
    wait_until(lambda: batches(again, "d1")[-1:] == [last])
    seen += batches(again, "d1")
    assert seen == list(range(seen[0], last + 1))
    again.close()


def test_trimmed_feed_is_told_and_not_recovered(cluster: MakeCluster) -> None:
    """Who stayed away for longer than the feed keeps gets a snapshot, never a part."""
    pair = cluster(nodes=2, feed__max_bytes=20_000, **QUICK)
    device = Bare.device(pair.urls[0], "d1")
    dashboard = Bare(pair.urls[1])
    cursor = dashboard.ok("register_vue", {})["cursor"]
    dashboard.close()
    for number in range(200):  # one by one: each an entry of the feed
        device.ok("update_data", {"key": "n", "value": f"{number}" * 100})
    again = Bare(pair.urls[0])
    answer = again.ok("register_vue", {"cursor": cursor})
    assert answer["recovered"] is False
    assert [one["session_id"] for one in answer["active"]] == ["d1"]
    device.ok("update_data", {"key": "n", "value": "last"})
    wait_until(lambda: again.events("session_data_key_update"))
    assert [one["value"] for one in again.events("session_data_key_update")][-1] == "last"
    again.close()
    device.close()


def test_flushall_is_told_and_the_fleet_comes_back(pair: Cluster) -> None:
    """An emptied Redis: `resync`, then a snapshot that has the devices that are still connected."""
    first, second = pair.urls
    devices = [Bare.device(first, f"d{n}") for n in range(5)]
    dashboard = Bare(second)
    cursor = dashboard.ok("register_vue", {})["cursor"]
    pair.redis.flushall()
    wait_until(lambda: dashboard.events("resync"), 10)
    wait_until(lambda: len(fleet_in(pair)) == 5, 10)
    answer = dashboard.ok("register_vue", {"cursor": cursor})
    assert answer["recovered"] is False
    assert sorted(fleet_of([answer], dashboard)) == [f"d{n}" for n in range(5)]
    devices[0].ok("update_data", {"key": "n", "value": 1})
    wait_until(lambda: dashboard.events("session_data_key_update"))
    for client in (*devices, dashboard):
        client.close()


def test_redis_that_answers_late_delays_dashboards_and_loses_nothing(pair: Cluster) -> None:
    """While Redis stands still dashboards are told that, in time; afterwards everything is, without a resync."""
    stream, dashboard = Stream(pair.urls[0], "d1"), Bare(pair.urls[1])
    dashboard.ok("register_vue", {"batch": True})
    wait_until(lambda: len(batches(dashboard, "d1")) > 5)
    pair.server.pause()
    watch = Stopwatch()
    wait_until(lambda: dashboard.events("feed_state"), 15)
    assert watch.quiet_s < 5  # as README.md promises
    wait_until(lambda: pair.nodes[1].get("/readyz")[0] == 503, 15)
    acked = stream.acked
    pair.server.resume()
    wait_until(lambda: len(dashboard.events("feed_state")) == 2, 20)
    assert batches(dashboard, "d1")[-1] >= acked, "before that it has all that it missed"
    last = stream.stop()
    wait_until(lambda: batches(dashboard, "d1")[-1:] == [last], 15)
    seen = batches(dashboard, "d1")
    assert seen == list(range(seen[0], last + 1))
    assert dashboard.events("resync") == []
    assert [one["stale"] for one in dashboard.events("feed_state")] == [True, False]
    dashboard.close()


def test_redis_restart_is_told_and_the_snapshot_has_all_that_was_acked(pair: Cluster) -> None:
    """Another run of Redis may have lost the end of the feed: `resync`, never a silent gap."""
    stream = Stream(pair.urls[0], "d1")
    dashboard = Bare(pair.urls[1])
    dashboard.ok("register_vue", {"batch": True})
    wait_until(lambda: len(batches(dashboard, "d1")) > 5)
    pair.server.kill()
    pair.server.start()
    before = stream.acked
    wait_until(lambda: stream.acked > before + 5, 20)
    wait_until(lambda: dashboard.events("resync"), 15)
    answer = dashboard.ok("register_vue", {"batch": True, "scope": {"sessions": ["d1"]}})
    assert [one["session_id"] for one in answer["active"]] == ["d1"]
    told, before = len(batches(dashboard, "d1")), stream.acked  # what was before is in the snapshot
    wait_until(lambda: stream.acked > before + 20, 20)
    last = stream.stop()
    wait_until(lambda: batches(dashboard, "d1")[-1:] == [last])
    seen = batches(dashboard, "d1")[told:]
    assert seen == list(range(seen[0], last + 1))
    history = pair.store.index.details("d1")["data"]["n"]  # type: ignore[index]
    values = [value for value, _ in history]
    assert values == list(range(last - len(values) + 1, last + 1))
    dashboard.close()


def test_pages_of_1200_sessions_under_churn_end_with_the_true_fleet(pair: Cluster) -> None:
    """Sessions come, go and change sides between the pages; nobody is missing at the end."""
    for n in range(1200):
        pair.store.ownership.create(f"s{n:04}")
    devices = [Bare.device(pair.urls[n % 2], f"d{n}") for n in range(12)]
    dashboard = Bare(pair.urls[0])
    answers = [dashboard.ok("register_vue", {"batch": True})]
    assert answers[0]["counts"] == {"active": 1212, "inactive": 0, "archived": 0}
    assert len(answers[0]["active"]) == 500
    helper = Bare(pair.urls[1])
    while answers[-1].get("next"):
        turn = len(answers)
        for n in range(4):
            devices.pop().drop()
            helper.ok("delete_session", {"device_id": f"s{turn * 100 + n:04}"})
        devices.insert(0, Bare.device(pair.urls[turn % 2], f"new-{turn}"))
        answers.append(dashboard.ok("register_vue", {"page": answers[-1]["next"]}))
    assert len(answers) == 3
    assert all(answer["cursor"] is None for answer in answers[:-1]) and answers[-1]["cursor"]
    wait_until(
        lambda: fleet_of(answers, dashboard) == fleet_in(pair), 15, what="the dashboard's fleet"
    )
    assert "inactive" in fleet_in(pair).values()
    for client in (*devices, dashboard, helper):
        client.close()


def send_at_the_pace_of(
    quick: Bare, device: Bare, updates: list[dict[str, Any]], session_id: str = "d1"
) -> None:
    """Every update is acked, and no more is sent than this dashboard keeps up with."""
    told = len(batches(quick, session_id))
    for place in range(0, len(updates), 6):
        numbers = [device.ask("update_data", update) for update in updates[place : place + 6]]
        assert all(device.answer_to(number)["ok"] for number in numbers)
        told += len(numbers)
        wait_until(lambda n=told: len(batches(quick, session_id)) >= n, 10, every_s=0.005)


def test_slow_dashboard_gets_latest_values_and_nobody_else_notices(pair: Cluster) -> None:
    """Above 1 MiB of backlog it is conflated and flagged; the other one gets every value."""
    node = pair.nodes[0]
    device = Bare.device(pair.urls[1], "d1")
    slow, quick = Bare(node.url, buffer_bytes=16_384), Bare(node.url)
    for dashboard in (slow, quick):
        dashboard.ok("register_vue", {"batch": True, "interval_ms": 20})
    slow.stop_reading()
    rss = node.rss_bytes()
    padding = "x" * 60_000
    count = 300  # 18 MB
    updates = [{"key": "n", "value": [n, padding]} for n in range(count)]
    send_at_the_pace_of(quick, device, updates)
    wait_until(lambda: [value[0] for value in batches(quick, "d1")][-1:] == [count - 1])
    assert [value[0] for value in batches(quick, "d1")] == list(range(count))
    assert not any(one.get("conflated") for one in quick.events("session_data_updates"))
    assert node.rss_bytes() - rss < 64 * 1024 * 1024
    slow.read_on()
    wait_until(lambda: [value[0] for value in batches(slow, "d1")][-1:] == [count - 1], 10)
    values = [value[0] for value in batches(slow, "d1")]
    assert values == sorted(set(values)) and len(values) < count
    assert any(one.get("conflated") for one in slow.events("session_data_updates"))
    device.ok("update_data", {"key": "n", "value": [count, ""]})
    wait_until(lambda: [value[0] for value in batches(slow, "d1")][-1:] == [count])
    for client in (device, slow, quick):
        client.close()


def test_dashboard_that_does_not_read_is_disconnected(pair: Cluster) -> None:
    """Above 16 MiB of latest values it is cut off, however fast they come; memory stays, others go on."""
    node = pair.nodes[0]
    devices = {name: Bare.device(pair.urls[1], name) for name in ("d1", "d2", "d3", "d4")}
    slow, quick = Bare(node.url, buffer_bytes=16_384), Bare(node.url)
    for dashboard in (slow, quick):
        dashboard.ok("register_vue", {"batch": True, "interval_ms": 20})
    slow.stop_reading()
    rss = node.rss_bytes()
    padding = "x" * 60_000
    count = 100  # of each device 6 MB, each under a key of its own; the kernel takes 4 MB
    updates = [{"key": f"k{n}", "value": [n, padding]} for n in range(count)]
    for name, device in devices.items():
        send_at_the_pace_of(quick, device, updates, name)
    assert node.rss_bytes() - rss < 64 * 1024 * 1024
    slow.read_on()
    wait_until(lambda: slow.is_closed, 10)
    assert len(batches(slow, "d4")) < count
    devices["d1"].ok("update_data", {"key": "k", "value": 0})
    wait_until(lambda: len(batches(quick, "d1")) == count + 1)
    for client in (*devices.values(), quick):
        client.close()


def clients_of(dashboard: Bare, session_id: str) -> int:
    answer = dashboard.ok("get_active_session", {"session_id": session_id})
    return int(answer["session"]["active_clients"])


def test_active_clients_are_exact_and_drop_with_a_dead_node(pair: Cluster) -> None:
    """Joins on both nodes add up; a killed node's clients go with its lease."""
    device = Bare.device(pair.urls[1], "d1")
    here = [Bare(pair.urls[0]) for _ in range(3)]
    there = Bare(pair.urls[1])
    for client in here:
        client.ok("join_session", {"session_id": "d1"})
    assert there.ok("join_session", {"session_id": "d1"})["active_clients"] == 4
    here[0].drop()
    wait_until(lambda: clients_of(there, "d1") == 3)
    assert here[1].ok("leave_session", {"session_id": "d1"})["active_clients"] == 2
    pair.nodes[0].kill()
    wait_until(lambda: clients_of(there, "d1") == 1, 2 + 2 + 2)
    for client in (device, there):
        client.close()


def test_active_clients_of_a_node_that_was_paused_are_counted_again(pair: Cluster) -> None:
    """A lease that ran out during a pause takes the clients; the node that wakes brings them."""
    device = Bare.device(pair.urls[1], "d1")
    here, there = Bare(pair.urls[0]), Bare(pair.urls[1])
    for client in (here, there):
        client.ok("join_session", {"session_id": "d1"})
    pair.nodes[0].pause()
    wait_until(lambda: clients_of(there, "d1") == 1, 8)
    pair.nodes[0].resume()
    wait_until(lambda: clients_of(there, "d1") == 2, 8)
    assert here.ok("leave_session", {"session_id": "d1"})["active_clients"] == 1
    for client in (device, here, there):
        client.close()
