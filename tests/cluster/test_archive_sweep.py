"""Workers that sweep: under live traffic, killed, failing for good."""

from __future__ import annotations

import threading

import pytest

from tests.archive_service import MakeService
from tests.clients import RawSocket
from tests.node_processes import environment
from tests.processes import muster
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


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
