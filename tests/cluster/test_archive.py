"""Guarantee 7 with real processes: nodes, workers, kill -9, a Redis that comes back empty.

After each: every session has exactly one authoritative place with all its acked data, and stands in
exactly one index.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.config import Config, load_config
from service.sessions.archiving import Archiver
from service.sessions.manager import SessionManager
from service.stores import connect_manager
from tests.clients import Client, RawSocket
from tests.node_processes import Cluster, MakeCluster, environment
from tests.processes import REPOSITORY, muster
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


class Service:
    """A cluster with an archive, and what a test asks of it from outside."""

    def __init__(self, cluster: Cluster, root: Path) -> None:
        self.cluster = cluster
        self.root = root
        self.config: Config = load_config(None, dict(cluster.settings))
        self.manager: SessionManager = connect_manager(cluster.server.url, self.config)
        self.store = self.manager.store
        assert self.manager.archiver is not None
        self.archiver: Archiver = self.manager.archiver
        self.children: list[subprocess.Popen[str]] = []

    def _start(self, argv: list[str], name: str, **more: Any) -> subprocess.Popen[str]:
        settings = {**self.cluster.settings, **{k.replace("__", "."): v for k, v in more.items()}}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PYTHON"))}
        log = (self.cluster.folder / f"{name}-{len(self.children)}.log").open("ab")
        with log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", *argv],
                cwd=REPOSITORY,
                env={**inherited, **environment(settings), "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if name == "child" else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.children.append(child)
        return child

    def worker(self, **more: Any) -> subprocess.Popen[str]:
        """A `muster worker`."""
        return self._start(["workers"], "worker", **more)

    def child(self, action: str, step: str, nth: int = 1, *ids: str) -> subprocess.Popen[str]:
        """An archiver that stands at a step now."""
        child = self._start(["tests.archiver_child", action, step, str(nth), *ids], "child")
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line == f"at {step}\n", line
        return child

    def go_on(self, child: subprocess.Popen[str]) -> str:
        """Lets it do the rest; what it said."""
        out, _ = child.communicate("\n", 30)
        assert child.returncode == 0
        return out.strip()

    def kill(self, child: subprocess.Popen[str]) -> None:
        """kill -9, with what it forked for a job."""
        try:
            below = psutil.Process(child.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            below = []
        child.kill()
        child.wait(10)
        for process in below:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def device(self, session_id: str, node: int = 0, **given: Any) -> RawSocket:
        raw = RawSocket(self.cluster.urls[node])
        answer = raw.call("register", {"device_id": session_id, **given})
        assert answer["ok"], answer
        raw.answer = answer  # type: ignore[attr-defined]
        return raw

    def visit(self, session_id: str, *values: Any, node: int = 0) -> dict[str, Any]:
        """A device comes, has its samples acked, and leaves; its register's answer."""
        raw = self.device(session_id, node)
        for value in values:
            assert raw.call("update_data", {"key": "k", "value": value})["ok"]
        raw.close()
        wait_until(lambda: self.state(session_id) == "inactive", 10, what=f"{session_id} is quiet")
        return raw.answer  # type: ignore[attr-defined,no-any-return]

    def state(self, session_id: str) -> str:
        (row,) = self.store.summaries([session_id])
        return (row or {}).get("state", "")

    def values(self, session_id: str) -> list[Any]:
        """All samples, wherever the session is; asserts that it has one place and one index."""
        keys, p = self.store.keys, self.store.keys.partition(session_id)
        indexes = {s: getattr(keys, s)(p) for s in ("active", "inactive", "archived")}
        redis = self.cluster.redis
        found = [s for s, key in indexes.items() if redis.zscore(key, session_id) is not None]
        raw, name = self.store.get(session_id), self.store.archive_name(session_id)
        assert len(found) == 1, (session_id, found)
        if found == ["archived"]:
            assert raw is None
            assert name is not None
            assert (self.root / name).exists()
        else:
            assert raw is not None
            assert raw["state"] == found[0]
            assert name is None
        session = self.manager.get_session(session_id)
        assert session is not None
        return [value for value, _ in session["data"].get("k", [])]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.root.glob("????/*.zst"))

    def close(self) -> None:
        for child in self.children:
            self.kill(child)
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()
        self.manager.close()


MakeService = Callable[..., Service]


@pytest.fixture
def service(cluster: MakeCluster, tmp_path: Path) -> Iterator[MakeService]:
    made: list[Service] = []

    def make(nodes: int = 2, **settings: Any) -> Service:
        root = tmp_path / f"archive-{len(made)}"
        quick = {"workers__sweep_every_s": 0.3, "limits__flapping_registers": 0, **settings}
        made.append(Service(cluster(nodes, archive__url=root.as_uri(), **quick), root))
        return made[-1]

    yield make
    for one in made:
        one.close()


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
    ("renamed", 1),
    ("renamed", 7),
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
        again = one._start(["tests.archiver_child", "sweep", "none", "1"], "child")
        assert "error=''" in again.communicate(timeout=30)[0]
        assert {i: one.values(i) for i in expected} == expected, step
        assert {one.state(i) for i in expected} == {"archived"}, step
    # what killed ones left behind goes with the next commit
    for session_id in expected:
        one.visit(session_id)
    assert "archived=10" in one.go_on(one.child("sweep", "read"))
    assert len(one.files()) == 10
    one.archiver.archive.store.collect_litter(0)
    assert list((one.root / "tmp").iterdir()) == []


def test_two_workers_on_the_same_sessions_make_one_file_each(service: MakeService) -> None:
    """Both have read and written the same; whoever commits second changes nothing."""
    one = service(1, sessions__archive_after_s=100)
    for i in range(5):
        one.visit(f"d{i}", i)
    first, second = one.child("sweep", "saved"), one.child("sweep", "saved")
    assert "archived=5" in one.go_on(second)
    assert "archived=5" in one.go_on(first)
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
    assert "archived=0" in one.go_on(slow)
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
    assert "archived=0" in one.go_on(slow)
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
    one.go_on(slow)
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
    assert one.go_on(slow) == "done False"
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
    known = one.store.archive_id()
    one.cluster.redis.flushall()
    wait_until(lambda: one.state("d0") == "active", 15, what="the node reclaims")
    wait_until(lambda: one.store.archive_id() == known, 5, what="the archive is known again")
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


def test_many_quiet_sessions_are_swept_under_live_traffic_and_killed_workers(
    service: MakeService,
) -> None:
    """Devices send, come back and leave while workers archive and die: every ack is kept."""
    both = service(2, sessions__archive_after_s=0.4, workers__batch=100)
    store, count = both.store, 3000
    ids = [f"q{i}" for i in range(count)]
    for session_id in ids:
        own = store.register(session_id, node_id="gone-aaaa", sid="aaaa.1")
        p = store.keys.partition(session_id)
        store.disconnect(p, "gone-aaaa", [(session_id, "aaaa.1", own.generation)], "gone")
    acked: dict[str, list[int]] = {f"live{i}": [] for i in range(6)}
    ending = threading.Event()
    faults: list[str] = []

    def live(session_id: str, node: int) -> None:
        turn = 0
        while not ending.is_set():
            raw = RawSocket(both.cluster.urls[(node + turn) % 2])
            try:
                answer = raw.call("register", {"device_id": session_id})
                if not answer["ok"]:
                    faults.append(str(answer))
                    continue
                for _ in range(20):
                    value = len(acked[session_id]) + 1
                    if raw.call("update_data", {"key": "k", "value": value})["ok"]:
                        acked[session_id].append(value)
            finally:
                raw.close()
            turn += 1
            ending.wait(0.8)  # long enough to be archived now and then

    threads = [
        threading.Thread(target=live, args=(session_id, n)) for n, session_id in enumerate(acked)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            wanted = store.counts()["archived"] + 300
            worker = both.worker()
            wait_until(lambda n=wanted: store.counts()["archived"] > n, 40, what="a sweep")
            both.kill(worker)
        both.worker()
        both.worker()
        wait_until(
            lambda: all((row or {}).get("state") == "archived" for row in store.summaries(ids)),
            60,
            what="all are archived",
        )
    finally:
        ending.set()
        for thread in threads:
            thread.join(20)
    assert faults == []
    for session_id, values in acked.items():
        assert len(values) > 20
        assert both.values(session_id) == values[-100:]
    for session_id in ids[::17]:
        assert both.values(session_id) == []
    back = both.device("q7", node=1)
    assert back.answer["restored"]  # type: ignore[attr-defined]
    back.close()
    assert both.cluster.tracebacks() == []


def test_job_of_a_killed_worker_is_taken_up_within_a_minute(service: MakeService) -> None:
    """A batch job goes on elsewhere, by its retries; nothing of it is lost or done twice."""
    from service.config import queue_name
    from service.job_queue import JobQueue
    from workers import queue as queues

    one = service(1, sessions__archive_after_s=10_000, workers__sweep_every_s=100)
    ids = [f"d{i}" for i in range(2000)]
    for session_id in ids:
        own = one.store.register(session_id, node_id="gone-aaaa", sid="aaaa.1")
        p = one.store.keys.partition(session_id)
        one.store.disconnect(p, "gone-aaaa", [(session_id, "aaaa.1", own.generation)], "gone")
    with queues.connect(one.config) as raw:
        jobs = JobQueue(raw, queue_name(one.config.redis.key_prefix))
        job_id = jobs.enqueue_archive(ids, "1")
        worker = one.worker()
        wait_until(lambda: jobs.get(job_id)["state"] == "started", 20, every_s=0.005)
        one.kill(worker)
        assert jobs.get(job_id)["state"] == "started"
        one.worker()
        wait_until(lambda: jobs.get(job_id)["state"] == "finished", 60, what="taken up")
    assert one.store.counts()["archived"] == len(ids)
    assert len(one.files()) == len(ids)


def test_job_that_fails_for_good_is_seen(service: MakeService) -> None:
    """In status, in doctor and in the metrics of every node."""
    from service.config import queue_name
    from service.job_queue import JobQueue
    from workers import queue as queues

    one = service(1, sessions__archive_after_s=100)
    with queues.connect(one.config) as raw:
        jobs = JobQueue(raw, queue_name(one.config.redis.key_prefix))
        jobs._queue.enqueue("workers.jobs.archive_sessions", args=(17,), job_id="bad-one")
        one.worker()
        wait_until(lambda: jobs.counts()["failed"] == 1, 20, what="it failed")
    settings = environment(one.cluster.settings)
    wait_until(lambda: one.store.upkeep().get("jobs_failed") == "1", 15, what="the worker tells")
    told = muster("status", "--json", settings=settings)
    assert '"failed": 1' in told.stdout, told.stderr
    assert "1 failed for good" in muster("doctor", settings=settings).stdout
    (node,) = one.cluster.nodes
    wait_until(lambda: "muster_failed_jobs 1.0" in node.get("/metrics")[1], 15, what="the metric")


def test_unmounted_archive_refuses_unknown_devices_and_nothing_else(service: MakeService) -> None:
    """`store_unavailable`, retryable, no fresh session; known devices go on; then it is back."""
    one = service(1, sessions__archive_after_s=100)
    one.visit("d1", 1)
    one.archiver.archive_sessions(["d1"])
    known = one.device("known")
    away = one.root.with_name("away")
    one.root.rename(away)
    raw = RawSocket(one.cluster.urls[0])
    refused = raw.call("register", {"device_id": "d1"})["error"]
    assert (refused["code"], refused["retryable"]) == ("store_unavailable", True)
    assert known.call("update_data", {"key": "k", "value": 1})["ok"]
    assert raw.call("get_active_sessions")["ok"]
    away.rename(one.root)
    assert raw.call("register", {"device_id": "d1"})["restored"]
    raw.close()
    known.close()
    assert one.cluster.tracebacks() == []


def test_node_on_a_machine_short_of_memory_refuses_new_connections(
    service: MakeService, tmp_path: Path
) -> None:
    """`overloaded`, and not ready; who is connected stays; it takes clients again afterwards."""
    one = service(1, sessions__archive_after_s=100)
    share = tmp_path / "available"
    share.write_text("60")
    from tests.conftest import free_ports

    port = free_ports()[0]
    one._start(["tests.short_of_memory", str(share)], "node", node__port=port)
    url = f"http://127.0.0.1:{port}"

    def readyz() -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except OSError:
            return 0, None
        finally:
            connection.close()

    wait_until(lambda: readyz()[0] == 200, 20, what="ready")
    early = RawSocket(url)
    assert early.call("register", {"device_id": "early"})["ok"]
    share.write_text("2.4")
    wait_until(lambda: readyz()[0] == 503, 10)
    memory = readyz()[1]["checks"]["memory"]
    assert memory == {"ok": False, "needed": True, "available_percent": 2.4}
    late = RawSocket(url)
    assert late.event("service_error")["code"] == "overloaded"
    late.drop()
    assert early.call("update_data", {"key": "k", "value": 1})["ok"]
    share.write_text("30")
    wait_until(lambda: readyz()[0] == 200, 10)
    again = RawSocket(url)
    assert again.call("register", {"device_id": "again"})["ok"]
    for raw in (early, again):
        raw.close()


def test_full_redis_is_relieved_and_dashboards_are_told(service: MakeService) -> None:
    """The job: the longest inactive go until the low mark; who is connected notices nothing."""
    one = service(1, sessions__archive_after_s=10_000, feed__max_bytes=1000)
    dashboard = Client(one.cluster.urls[0])
    dashboard.ok("register_vue", {"batch": True})
    live = one.device("live")
    for i in range(60):
        one.manager.store.create(f"d{i}")
        one.manager.update_telemetry(f"d{i}", {"big": "x" * 60_000})
    one.store._run("sweep_idle", 0, [0, 500, 0])
    used = one.store.redis_memory().used
    one.cluster.redis.config_set("maxmemory", int(used / 0.85))
    one.worker()
    told = dashboard.await_event("memory_relieved", 30)
    assert told["archived"] > 0
    assert told["before"]["redis_percent"] > 80
    assert told["after"]["redis_percent"] <= 70
    assert told["error"] == ""
    counts = one.store.counts()
    assert counts["active"] == 1
    assert 0 < counts["archived"] < 60
    assert live.call("update_data", {"key": "k", "value": 1})["ok"]
    for i in range(60):
        session = one.manager.get_session(f"d{i}")
        assert session is not None
        assert session["telemetry"]["big"] == "x" * 60_000
    live.close()
    dashboard.close()


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
    assert all(answer["ok"] for answer in answers), answers
    assert any(answer["restored"] for answer in answers)
    winner = sockets[max(range(40), key=lambda n: answers[n]["generation"])]
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
