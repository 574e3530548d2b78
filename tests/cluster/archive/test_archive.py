"""Guarantee 7 with real processes: nodes, workers, kill -9, a Redis that comes back empty.

After each: every session has exactly one authoritative place with all its acked data, and stands in
exactly one index.
"""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.support.archive.archive_service import MakeService
from tests.support.clients.clients import Client, RawSocket
from tests.support.nodes.node_processes import environment
from tests.support.system.processes import muster
from tests.support.waiting import wait_until


@pytest.mark.parametrize("async_mode", ["eventlet", "gevent"])
def test_quiet_device_is_archived_and_comes_back_whole_on_another_node(
    service: MakeService, async_mode: str
) -> None:
    """The whole road: node, worker, disk, dashboards, other node; rev and seq go on."""
    both = service(2, sessions__archive_after_s=0.5, node__async_mode=async_mode)
    dashboard = Client(both.cluster.urls[1])
    dashboard.ok("register_vue", {"batch": True})
    raw = both.device("d1", session_name="Hall", stream="s")
    for seq in (1, 2, 3):
        last = raw.call("update_data", {"key": "k", "value": seq, "seq": seq})
    raw.close()
    both.worker()
    wait_until(lambda: both.state("d1") == "archived", 30, what="the sweep")
    moves = wait_until(
        lambda: [
            one["state"]
            for update in dashboard.got("sessions_update")
            for one in update["changed"]
            if one["state"] == "archived"
        ],
        10,
    )
    assert moves == ["archived"]
    page = dashboard.ok("get_inactive_sessions", {"q": "ha"})
    assert [(one["session_id"], one["state"]) for one in page["sessions"]] == [("d1", "archived")]
    shown = dashboard.ok("get_inactive_session", {"device_id": "d1"})["session"]
    assert [value for value, _ in shown["data"]["k"]] == [1, 2, 3]
    assert both.state("d1") == "archived", "reading does not restore"
    back = both.device("d1", node=1, stream="s")
    answer = back.answer  # type: ignore[attr-defined]
    assert (answer["restored"], answer["resumed"], answer["last_seq"]) == (True, True, 3)
    assert answer["rev"] > last["rev"]
    assert back.call("update_data", {"key": "k", "value": 4, "seq": 4})["ok"]
    assert both.values("d1") == [1, 2, 3, 4]
    dashboard.ok("delete_session", {"device_id": "d1"})
    back.event("deleted")
    wait_until(lambda: both.files() == [], 5)
    assert both.manager.get_session("d1") is None
    dashboard.close()
    back.close()
    assert both.cluster.tracebacks() == []


#: Steps of a batch of ten in the order they come: of the Archiver, and of its files.


STEPS = [
    ("read", 1),
    ("synced", 1),
    ("shown", 1),
    ("shown", 7),
    ("durable", 1),
    ("saved", 1),
    ("committed", 1),
    ("committed", 10),
    ("removed", 1),
    ("done", 1),
]


def test_worker_killed_between_any_two_steps_loses_nothing(service: MakeService) -> None:
    """kill -9 at each step in turn; a device comes back; the next sweep finishes the work."""
    one = service(1, sessions__archive_after_s=100)
    expected: dict[str, list[Any]] = {f"d{i}": [] for i in range(10)}
    for turn, (step, nth) in enumerate(STEPS):
        for session_id, values in expected.items():
            values.append(turn)
            answer = one.visit(session_id, turn)
            assert answer["restored"] is (turn > 0), (step, answer)
        one.kill(one.child("sweep", step, nth))
        assert {i: one.values(i) for i in expected} == expected, step
        raw = one.device("d3")
        assert raw.answer["resumed"], step  # type: ignore[attr-defined]
        raw.close()
        wait_until(lambda: one.state("d3") == "inactive", 10)
        assert "error=''" in one.sweeper("sweep", "none", "1").go_on()
        assert {i: one.values(i) for i in expected} == expected, step
        assert {one.state(i) for i in expected} == {"archived"}, step
    # what killed ones left behind goes with the next commit
    for session_id in expected:
        one.visit(session_id)
    assert "archived=10" in one.child("sweep", "read").go_on()
    assert len(one.files()) == 10
    one.archiver.archive.store.collect_litter(0)
    assert list((one.root / "tmp").iterdir()) == []


def test_two_workers_on_the_same_sessions_make_one_file_each(service: MakeService) -> None:
    """Both have read and written the same; whoever commits second takes his file away."""
    one = service(1, sessions__archive_after_s=100)
    for i in range(5):
        one.visit(f"d{i}", i)
    first, second = one.child("sweep", "saved"), one.child("sweep", "saved")
    assert "archived=5" in second.go_on()
    assert "{'newer': 5}" in first.go_on()
    assert [one.values(f"d{i}") for i in range(5)] == [[i] for i in range(5)]
    assert len(one.files()) == 5


@pytest.mark.parametrize("step", ["read", "saved"])
def test_archiver_that_stood_still_while_the_session_came_back_and_was_archived_again(
    service: MakeService, step: str
) -> None:
    """Between snapshot and rename, and between rename and commit: it harms neither."""
    one = service(1, sessions__archive_after_s=100)
    one.visit("d1", 1)
    slow = one.child("sweep", step)
    one.visit("d1", 2)
    assert [done.word for done in one.archiver.archive_sessions(["d1"])] == ["archived"]
    assert "archived=0" in slow.go_on()
    assert one.values("d1") == [1, 2]
    assert one.state("d1") == "archived"
    assert len(one.files()) == 1
    assert one.visit("d1", 3)["restored"]
    assert one.values("d1") == [1, 2, 3]


@pytest.mark.parametrize("step", ["read", "saved"])
def test_device_that_registers_and_sends_in_the_middle_of_its_archival(
    service: MakeService, step: str
) -> None:
    """The commit is refused, what it was acked is in Redis, the file goes."""
    one = service(1, sessions__archive_after_s=100)
    one.visit("d1", 1)
    slow = one.child("sweep", step)
    raw = one.device("d1")
    assert raw.call("update_data", {"key": "k", "value": 2})["ok"]
    assert "archived=0" in slow.go_on()
    assert one.state("d1") == "active"
    assert one.values("d1") == [1, 2]
    assert one.files() == []
    raw.close()


def test_write_without_a_connection_racing_the_archive(service: MakeService) -> None:
    """REST and programs: in Redis, or in the file, never in neither."""
    one = service(1, sessions__archive_after_s=100)
    one.visit("d1", 1)
    slow = one.child("sweep", "saved")
    one.manager.update_telemetry("d1", {"k": 2})
    slow.go_on()
    assert one.values("d1") == [1, 2]
    one.archiver.archive_sessions(["d1"])
    one.manager.update_telemetry("d1", {"k": 3})
    assert one.state("d1") == "inactive"
    assert one.values("d1") == [1, 2, 3]


def test_delete_during_a_restore_wins(service: MakeService) -> None:
    """The file was read by another process; then it is gone for good, in every place."""
    one = service(1, sessions__archive_after_s=100)
    one.visit("d1", 1)
    one.archiver.archive_sessions(["d1"])
    slow = one.child("restore", "restoring", 1, "d1")
    one.manager.delete_session("d1")
    assert slow.go_on() == "done False"
    assert one.manager.get_session("d1") is None
    assert one.files() == []
    assert one.visit("d1", 2)["restored"] is False
    assert one.values("d1") == [2]


def test_purger_killed_between_its_steps_resurrects_nothing(service: MakeService) -> None:
    """The device begins afresh at once, whatever the purger had done by then."""
    one = service(1, sessions__archive_after_s=100)
    for step in ("tombstone", "removed", "files", "keys"):
        one.visit("d1", 1)
        one.archiver.archive_sessions(["d1"])
        one.kill(one.child("purge", step))
        answer = one.visit("d1", 1)
        assert (answer["restored"], answer["rev"]) == (False, 2), step
        assert one.values("d1") == [1]
        one.manager.delete_session("d1")
        assert one.files() == [], step


def test_redis_emptied_and_reindexed(service: MakeService) -> None:
    """Archives are found again; live sessions, which nodes reclaim, are not replaced by older files."""
    one = service(1, sessions__lease_s=2, sessions__renew_s=0.5, sessions__archive_after_s=100)
    for i in range(20):
        one.visit(f"d{i}", i)
    one.archiver.archive_sessions([f"d{i}" for i in range(20)])
    live = one.device("d0")  # came back: its file is superseded
    assert live.call("update_data", {"key": "k", "value": "new"})["ok"]
    known = one.store.archive_index.known()
    one.cluster.redis.flushall()
    wait_until(lambda: one.state("d0") == "active", 15, what="the node reclaims")
    wait_until(
        lambda: one.store.archive_index.known() == known, 5, what="the archive is known again"
    )
    assert one.visit("d1", "again")["restored"], "found by name, without the index"
    done = muster("archive", "reindex", "--json", settings=environment(one.cluster.settings))
    assert done.returncode == 0, done.stderr
    assert '"indexed": 18' in done.stdout
    assert '"live": 2' in done.stdout
    assert one.values("d1") == [1, "again"]
    assert [one.values(f"d{i}") for i in range(2, 20)] == [[i] for i in range(2, 20)]
    assert one.state("d0") == "active"
    answer = one.visit("d7", 8)
    assert answer["restored"]
    assert one.values("d7") == [7, 8]
    live.close()


def test_many_registers_of_one_archived_id_on_two_nodes_make_one_session(
    service: MakeService,
) -> None:
    """All at once: one owner, every sample once."""
    both = service(2, sessions__archive_after_s=100)
    both.visit("d1", 1, 2, 3)
    both.archiver.archive_sessions(["d1"])
    sockets = [RawSocket(both.cluster.urls[n % 2]) for n in range(40)]
    for raw in sockets:
        raw.send('421["register",{"device_id":"d1"}]')
    answers = [json.loads(raw.packet("431[")[3:])[0] for raw in sockets]
    refused = [answer["error"]["code"] for answer in answers if not answer["ok"]]
    assert set(refused) <= {"stale_generation"}  # of sockets that were accepted before the owner
    winner = sockets[max(range(40), key=lambda n: answers[n].get("generation", 0))]
    assert winner.call("update_data", {"key": "k", "value": 4})["ok"]
    assert both.values("d1") == [1, 2, 3, 4]
    assert both.state("d1") == "active"
    for raw in sockets:
        raw.close()
    assert both.cluster.tracebacks() == []


def test_node_that_slept_while_its_sessions_were_archived_gets_them_back_whole(
    service: MakeService,
) -> None:
    """Paused beyond its lease: they expire and go to the archive; awake, it reclaims them."""
    both = service(2, sessions__lease_s=1.5, sessions__renew_s=0.5, sessions__archive_after_s=0.2)
    raws = {f"d{i}": both.device(f"d{i}", stream="s") for i in range(5)}
    for session_id, raw in raws.items():
        assert raw.call("update_data", {"key": "k", "value": session_id, "seq": 1})["ok"]
    sleeper = both.cluster.nodes[0]
    worker = both.worker()
    sleeper.pause()
    try:
        wait_until(lambda: {both.state(i) for i in raws} == {"archived"}, 30, what="archived")
    finally:
        both.kill(worker)
        sleeper.process.send_signal(signal.SIGCONT)
    wait_until(lambda: {both.state(i) for i in raws} == {"active"}, 20, what="reclaimed")
    for session_id, raw in raws.items():
        answer = raw.call("update_data", {"key": "k", "value": 2, "seq": 2})
        assert answer["ok"], answer
        assert both.values(session_id) == [session_id, 2]
        raw.close()
    assert both.cluster.tracebacks() == []
