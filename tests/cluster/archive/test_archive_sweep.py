"""Workers that sweep: under live traffic, killed, failing for good."""

from __future__ import annotations

import itertools
import shutil
import threading

import pytest

from tests.support.archive.archive_service import MakeService, Service
from tests.support.clients.clients import RawSocket
from tests.support.nodes.node_processes import environment
from tests.support.sizes import sampled
from tests.support.system.processes import muster
from tests.support.waiting import wait_until

#: Sessions of the large sweep.
COUNT = sampled(100_000, 5_000)


def make_quiet(service: Service, count: int) -> list[str]:
    """Devices that were here once and sent their number; they became inactive one after the other."""
    service.visit("template", 0)
    store, keys = service.store, service.store.keys
    (capture,) = store.captures.read(["template"])
    assert not isinstance(capture, str)
    timeline = capture.snapshot.timeline
    ttl_ms = service.cluster.redis.pttl(keys.session("template"))
    since_ms = store.now_ms() - count
    ids = [f"q{n}" for n in range(count)]
    for first in range(0, count, 2_000):
        with service.cluster.redis.pipeline(transaction=False) as pipe:
            for n, one in enumerate(ids[first : first + 2_000], first):
                sample = f"[{n},1.5]"
                pipe.hset(keys.session(one), mapping={**capture.snapshot.fields, "session_id": one})
                pipe.hset(keys.latest(one), "k", sample)
                pipe.rpush(keys.history(one, "k"), sample)
                pipe.rpush(keys.timeline(one), *timeline)
                for key in (keys.session, keys.latest, keys.timeline):
                    pipe.pexpire(key(one), ttl_ms)
                pipe.pexpire(keys.history(one, "k"), ttl_ms)
                pipe.zadd(keys.inactive(keys.partition(one)), {one: since_ms + n})
            pipe.execute()
    return ids


class LiveDevice(threading.Thread):
    """A device that comes, sends, leaves for long enough to be archived now and then, and comes back."""

    def __init__(self, session_id: str, urls: list[str], ending: threading.Event) -> None:
        super().__init__()
        self.session_id = session_id
        self.acked: list[int] = []
        self.restored = 0
        self.faults: list[str] = []
        self._urls = urls
        self._ending = ending

    def run(self) -> None:
        for url in itertools.cycle(self._urls):
            if self._ending.is_set():
                return
            raw = RawSocket(url)
            try:
                answer = raw.call("register", {"device_id": self.session_id})
                if not answer["ok"]:
                    self.faults.append(str(answer))
                    continue
                self.restored += answer["restored"]
                for _ in range(20):
                    value = len(self.acked) + 1
                    if raw.call("update_data", {"key": "k", "value": value})["ok"]:
                        self.acked.append(value)
            finally:
                raw.close()
            self._ending.wait(0.8)


def assert_one_place_each(service: Service, wanted: set[str]) -> None:
    """Every session stands in exactly one index, and is where that says: in Redis or on disk."""
    redis, keys = service.cluster.redis, service.store.keys
    states: dict[str, set[str]] = {"active": set(), "inactive": set(), "archived": set()}
    names: dict[str, str] = {}
    summaries: set[str] = set()
    in_redis: set[str] = set()
    for p in range(keys.partitions):
        for state, ids in states.items():
            ids |= set(redis.zrange(getattr(keys, state)(p), 0, -1))
        names |= redis.hgetall(keys.archive_names(p))
        summaries |= set(redis.hkeys(keys.archive_summaries(p)))
        for kind in ("session", "latest", "timeline"):
            prefix = f"{keys.tag(p)}{kind}:"
            in_redis |= {key.removeprefix(prefix) for key in redis.scan_iter(f"{prefix}*", 10_000)}
    assert sum(map(len, states.values())) == len(set.union(*states.values()))
    assert set.union(*states.values()) == wanted
    assert in_redis == states["active"] | states["inactive"]
    assert states["archived"] == names.keys() == summaries
    on_disk = {f"{path.parent.name}/{path.name}" for path in service.root.glob("????/*.zst")}
    assert set(names.values()) <= on_disk


@pytest.mark.timeout(900)
def test_quiet_sessions_are_swept_under_live_traffic_and_a_killed_worker(
    service: MakeService,
) -> None:
    """Devices send, come back and leave while workers archive and one dies: every ack is kept."""
    both = service(2, sessions__archive_after_s=0.4, workers__batch=500)
    store = both.store
    ids = make_quiet(both, COUNT)
    ending = threading.Event()
    live = [LiveDevice(f"live{n}", both.cluster.urls, ending) for n in range(6)]
    for device in live:
        device.start()
    try:
        worker = both.worker()
        wait_until(
            lambda: store.index.counts()["archived"] > COUNT / 10, 120, what="a tenth is archived"
        )
        both.kill(worker)
        both.worker()
        both.worker()
        wait_until(
            lambda: (
                store.index.counts()["inactive"] <= len(live)
                and store.index.counts()["archived"] >= COUNT
            ),
            300,
            every_s=0.5,
            what="all are archived",
        )
        wait_until(lambda: all(device.restored for device in live), 60, what="live ones come back")
    finally:
        ending.set()
        for device in live:
            device.join(60)
    assert [fault for device in live for fault in device.faults] == []
    wait_until(lambda: store.index.counts()["active"] == 0, 10, what="the last ones have left")
    for worker in both.workers:
        both.kill(worker)
    assert_one_place_each(both, {*ids, "template", *(device.session_id for device in live)})
    for device in live:
        assert len(device.acked) > 20
        assert both.values(device.session_id) == device.acked[-100:]
    for n in range(0, COUNT, sampled(97, 31)):
        assert both.values(ids[n]) == [n]
    back = both.device("q7", node=1)
    assert back.answer["restored"]  # type: ignore[attr-defined]
    back.close()
    assert both.cluster.tracebacks() == []
    shutil.rmtree(both.root)  # not for pytest to keep


def test_job_of_a_killed_worker_is_taken_up_within_a_minute(service: MakeService) -> None:
    """A batch job goes on elsewhere, by its retries; nothing of it is lost or done twice."""
    from service.config.loader import queue_name
    from service.redis_access.job_queue import JobQueue
    from workers import queue as queues

    one = service(1, sessions__archive_after_s=10_000, workers__sweep_every_s=100)
    ids = [f"d{i}" for i in range(2000)]
    for session_id in ids:
        own = one.store.ownership.register(session_id, node_id="gone-aaaa", sid="aaaa.1")
        p = one.store.keys.partition(session_id)
        one.store.ownership.disconnect(
            p, "gone-aaaa", [(session_id, "aaaa.1", own.generation)], "gone"
        )
    with queues.connect(one.config) as raw:
        jobs = JobQueue(raw, queue_name(one.config.redis.key_prefix))
        job_id = jobs.enqueue_archive(ids, "1")
        worker = one.worker()
        wait_until(lambda: jobs.get(job_id)["state"] == "started", 20, every_s=0.005)
        one.kill(worker)
        assert jobs.get(job_id)["state"] == "started"
        one.worker()
        wait_until(lambda: jobs.get(job_id)["state"] == "finished", 60, what="taken up")
    assert one.store.index.counts()["archived"] == len(ids)
    assert len(one.files()) == len(ids)


def test_job_that_fails_for_good_is_seen(service: MakeService) -> None:
    """In status, in doctor and in the metrics of every node."""
    from service.config.loader import queue_name
    from service.redis_access.job_queue import JobQueue
    from workers import queue as queues

    one = service(1, sessions__archive_after_s=100)
    with queues.connect(one.config) as raw:
        jobs = JobQueue(raw, queue_name(one.config.redis.key_prefix))
        jobs._queue.enqueue("workers.jobs.archive_sessions", args=(17,), job_id="bad-one")
        one.worker()
        wait_until(lambda: jobs.counts()["failed"] == 1, 20, what="it failed")
    settings = environment(one.cluster.settings)
    wait_until(
        lambda: one.store.upkeep.read().get("jobs_failed") == "1", 15, what="the worker tells"
    )
    told = muster("status", "--json", settings=settings)
    assert '"failed": 1' in told.stdout, told.stderr
    assert "1 failed, with all retries used up" in muster("doctor", settings=settings).stdout
    (node,) = one.cluster.nodes
    wait_until(lambda: "muster_failed_jobs 1.0" in node.get("/metrics")[1], 15, what="the metric")
