"""What dead workers left, pauses, and entries that are no jobs, on a real server."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Callback, Retry
from rq.job import Job, JobStatus
from rq.webhook import Webhook

from service.config.loader import load_config
from service.redis_access.job_queue import JobQueue
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store
from tests.support.system.bursts import work
from workers import entries
from workers import jobs as functions
from workers import queue as queues
from workers.rescue import DEAD_S, LONGEST_PAUSE_S, Rescue

JOB = "workers.jobs.sweep_idle"


class Monotonic:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def client(redis_url: str, key_prefix: str) -> Iterator[redis.Redis]:
    flags = {"redis.url": redis_url, "redis.key_prefix": key_prefix}
    with queues.connect(load_config(None, flags)) as one:
        yield one


@pytest.fixture
def queue(client: redis.Redis, key_prefix: str) -> queues.JobsQueue:
    return queues.open_queue(client, key_prefix)


@pytest.fixture
def rescue(queue: queues.JobsQueue, monotonic: Monotonic) -> Rescue:
    return Rescue(queue, monotonic)


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix)


def begin(queue: queues.JobsQueue, *names: str, **options: Any) -> list[Job]:
    """Jobs that a worker has started, which has died since."""
    begun = [queue.enqueue(JOB, job_id=f"{queue.name}-{name}", **options) for name in names]
    worker = queues.open_worker(queue, f"dead-{os.urandom(4).hex()}")
    for job in begun:
        queue.remove(job)
        worker.prepare_execution(job)
        worker.prepare_job_execution(job)
    return begun


# -- started --


def test_a_started_job_of_a_dead_worker_is_retried_or_fails(
    queue: queues.JobsQueue, rescue: Rescue, monotonic: Monotonic, client: redis.Redis
) -> None:
    """As its retries say; one that beats is left alone."""
    begin(queue, "retried", retry=Retry(max=1))
    begin(queue, "failed", "alive")
    rescue.take_up_started()
    monotonic.now += DEAD_S
    (beating,) = [e for e in client.zrange(f"rq:wip:{queue.name}", 0, -1) if b"alive" in e]
    client.zincrby(f"rq:wip:{queue.name}", 5, beating)
    rescue.take_up_started()
    assert queue.get_job_ids() == [f"{queue.name}-retried"]
    assert queue.failed_job_registry.get_job_ids(cleanup=False) == [f"{queue.name}-failed"]
    assert client.zrange(f"rq:wip:{queue.name}", 0, -1) == [beating]


@pytest.mark.parametrize("ahead_s", [-3600, 0, 3600])
def test_clocks_of_workers_decide_nothing(
    queue: queues.JobsQueue,
    rescue: Rescue,
    monotonic: Monotonic,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    ahead_s: int,
) -> None:
    """Neither that of who looks nor that of who works: a beat is a change."""
    begin(queue, "alive")
    (entry,) = client.zrange(f"rq:wip:{queue.name}", 0, -1)
    client.zincrby(f"rq:wip:{queue.name}", -ahead_s, entry)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead_s)
    for _ in range(10):
        rescue.take_up_started()
        monotonic.now += 5
        client.zadd(f"rq:wip:{queue.name}", {entry: 5}, xx=True, incr=True)
    assert client.zcard(f"rq:wip:{queue.name}") == 1
    for _ in range(2):
        rescue.take_up_started()
        monotonic.now += DEAD_S
    assert client.zcard(f"rq:wip:{queue.name}") == 0


def test_a_job_whose_worker_died_while_it_began_is_taken_up_once(
    queue: queues.JobsQueue, rescue: Rescue, monotonic: Monotonic, client: redis.Redis
) -> None:
    """Then it stands among the started and among the taken ones; RQ moves it in two steps."""
    once = {"result_ttl": 0, "failure_ttl": 0}  # as a sweep, which is not done again
    for name, options in (("sweep", once), ("retried", {"retry": Retry(max=1)})):
        job = queue.enqueue(JOB, job_id=f"{queue.name}-{name}", **options)
        client.lmove(queue.key, queue.intermediate_queue.key)
        queues.open_worker(queue, f"dead-{os.urandom(4).hex()}").prepare_execution(job)
    for _ in range(2):
        rescue.take_up_started()
        rescue.take_up_taken()
        monotonic.now += DEAD_S
    assert queue.job_ids == [f"{queue.name}-retried"]
    assert client.llen(queue.intermediate_queue.key) == 0
    assert len(queue.quarantine) == 0


def test_what_an_ended_job_left_is_removed_and_not_shown_as_strange(
    queue: queues.JobsQueue, rescue: Rescue, monotonic: Monotonic, client: redis.Redis
) -> None:
    """Its worker lost the reply to its last word, or was paused while another did the job."""
    (job,) = begin(queue, "ended", result_ttl=0, failure_ttl=0)
    client.unlink(job.key)
    client.lpush(queue.intermediate_queue.key, job.id)
    for _ in range(2):
        rescue.take_up_started()
        rescue.take_up_taken()
        monotonic.now += DEAD_S
    assert client.zcard(queue.started_job_registry.key) == 0
    assert client.llen(queue.intermediate_queue.key) == 0
    assert len(queue.quarantine) == 0


def test_of_many_workers_one_takes_a_job_up(queue: queues.JobsQueue, monotonic: Monotonic) -> None:
    begin(queue, "one", retry=Retry(max=3))
    rescues = [Rescue(queue, monotonic) for _ in range(3)]
    for _ in range(2):
        for one in rescues:
            one.take_up_started()
        monotonic.now += DEAD_S
    assert queue.get_job_ids() == [f"{queue.name}-one"]
    job = queue.fetch_job(f"{queue.name}-one")
    assert job is not None
    assert job.retries_left == 2


# -- taken, not started --


def test_a_job_taken_and_never_started_is_put_back_once(
    queue: queues.JobsQueue, client: redis.Redis
) -> None:
    """A worker killed between queue and start: of all workers that see it one puts it back."""
    job = queue.enqueue(JOB, job_id=f"{queue.name}-one")
    client.lmove(queue.key, queue.intermediate_queue.key)
    rescues = [Rescue(queue) for _ in range(3)]
    assert [rescue.take_up_taken(dead_s=3600) for rescue in rescues] == [0, 0, 0]
    assert sum(rescue.take_up_taken(dead_s=0) for rescue in rescues) == 1
    assert queue.get_job_ids() == [job.id]
    assert client.llen(queue.intermediate_queue.key) == 0


# -- pauses --


def test_a_pause_ends_by_the_clock_of_redis(
    queue: queues.JobsQueue,
    rescue: Rescue,
    client: redis.Redis,
    monotonic: Monotonic,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that is an hour ahead delays nothing."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    begin(queue, "one", retry=Retry(max=1, interval=[100]))
    for _ in range(2):
        rescue.take_up_started()
        monotonic.now += DEAD_S
    due_s = client.zscore(f"rq:scheduled:{queue.name}", f"{queue.name}-one")
    assert due_s == pytest.approx(client.time()[0] + 100, abs=10)
    rescue.move_scheduled()
    assert queue.get_job_ids() == []
    client.zincrby(f"rq:scheduled:{queue.name}", -110, f"{queue.name}-one")
    for _ in range(2):
        rescue.move_scheduled()
    assert queue.get_job_ids() == [f"{queue.name}-one"]


def test_a_pause_that_a_former_clock_made_long_is_over(
    queue: queues.JobsQueue, rescue: Rescue, client: redis.Redis
) -> None:
    """Redis's clock went back by a day: no pause is that long."""
    job = queue.create_job(JOB, job_id=f"{queue.name}-one")
    job.origin = queue.name
    job.save()
    later_s = client.time()[0] + LONGEST_PAUSE_S + 86_400
    client.zadd(f"rq:scheduled:{queue.name}", {job.id: later_s})
    rescue.move_scheduled()
    assert queue.get_job_ids() == [job.id]


# -- no jobs --


def marking(folder: Path) -> Callable[[str], str]:
    """Dotted names that RQ would import, and that would leave a file."""
    (folder / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(folder)!r}, 'imported').touch()\n"
        "def run(*_):\n    pass\n"
    )
    return lambda name: f"evil.{name}"


def enqueue_strange(kind: str, queue: queues.JobsQueue) -> None:
    """An entry that is no job of ours, first in line."""
    client, name = queue.connection, queue.name
    plain = redis_queue(queue)
    job_id = f"{name}-strange"
    options: dict[str, Any] = {"job_id": job_id, "at_front": True}
    if kind == "function":
        plain.enqueue("evil.run", **options)
    elif kind == "dotted":
        plain.enqueue("workers.jobs.os.system", "true", **options)
    elif kind == "helper":
        plain.enqueue("workers.jobs.load_config", **options)
    elif kind in ("on_success", "on_failure", "on_stopped"):
        plain.enqueue(JOB, **options, **{kind: Callback("evil.run")})
    elif kind == "webhook":
        hook = Webhook("http://127.0.0.1:9/", JobStatus.FINISHED)
        plain.enqueue(JOB, **options, webhooks=[hook])
    elif kind == "dependents":
        plain.enqueue(JOB, **options, depends_on=[], meta={"a": 1})
    else:
        entry = {"id": b"no id at all!", "bytes": b"\xff\xfe", "gone": b"nothing-there"}.get(kind)
        entry = entry or job_id.encode()
        if kind in ("garbage", "no data", "date", "type"):
            record = {
                "garbage": {"data": b"\x80garbage", "origin": name},
                "no data": {"last_heartbeat": "2026-01-01T00:00:00Z"},
                "date": {"data": f'["{JOB}",null,[],{{}}]', "origin": name, "created_at": "never"},
                "type": None,
            }[kind]
            key = Job.key_for(job_id)
            client.hset(key, mapping=record) if record else client.set(key, "a string")
        client.lpush(queue.key, entry)


def redis_queue(queue: queues.JobsQueue) -> Any:
    """As a program sees it that has RQ and nothing of ours."""
    from rq import Queue
    from rq.serializers import JSONSerializer

    return Queue(queue.name, connection=queue.connection, serializer=JSONSerializer)


STRANGE = [
    *("function", "dotted", "helper", "on_success", "on_failure", "on_stopped", "webhook"),
    *("dependents", "id", "bytes", "gone", "garbage", "no data", "date", "type"),
]


@pytest.mark.processes
@pytest.mark.parametrize("kind", STRANGE)
def test_an_entry_that_is_no_job_runs_nothing_stops_nobody_and_can_be_looked_at(
    queue: queues.JobsQueue,
    rescue: Rescue,
    client: redis.Redis,
    store: RedisSessionStore,
    key_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Whether a worker takes it, or the rescue finds it where jobs are that were taken."""
    marking(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    enqueue_strange(kind, queue)
    queue.enqueue("workers.jobs.no_such_job")  # itself none, behind it
    api = JobQueue(client, queue.name)
    api.jobs(("queued",), 10)
    api.oldest_s()
    work(queue)
    assert client.llen(queue.key) == client.llen(queue.intermediate_queue.key) == 0
    enqueue_strange(kind, queue)
    client.lmove(queue.key, queue.intermediate_queue.key)
    assert rescue.take_up_taken(dead_s=0) == 0
    rescue.run(store)
    assert store.upkeep.read()["jobs_quarantined"] == "3"
    kept = [json.loads(row) for row in client.lrange(f"{key_prefix}:quarantined_jobs", 0, -1)]
    assert all(one["reason"] and one["entry"] and one["at_ms"] for one in kept)
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("kind", STRANGE)
def test_a_registry_with_an_entry_that_is_no_job_holds_up_nothing(
    queue: queues.JobsQueue,
    rescue: Rescue,
    client: redis.Redis,
    monotonic: Monotonic,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Started ones and ones with a pause: those behind it go on."""
    marking(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    begin(queue, "started", retry=Retry(max=1))
    enqueue_strange(kind, queue)
    entry = client.lpop(queue.key)
    client.zadd(f"rq:wip:{queue.name}", {entry + b":x": 1})
    for _ in range(2):
        rescue.take_up_started()
        monotonic.now += DEAD_S
    client.zadd(f"rq:scheduled:{queue.name}", {entry: 1, f"{queue.name}-started": 2})
    client.delete(queue.key)
    rescue.move_scheduled()
    assert queue.get_job_ids() == [f"{queue.name}-started"]
    assert client.zcard(f"rq:wip:{queue.name}") == 0
    assert len(queue.quarantine) == 2
    assert not (tmp_path / "imported").exists()


def test_the_quarantine_is_bounded(queue: queues.JobsQueue, client: redis.Redis) -> None:
    key = Job.key_for("x")
    client.hset(key, mapping={"data": "y" * 100_000})
    for _ in range(entries.KEPT + 5):
        queue.quarantine_entry(b"x", entries.NoJobOfOurs("strange"))
    client.delete(key)
    assert len(queue.quarantine) == entries.KEPT
    rows = client.lrange(f"{queue.quarantine._key}", 0, -1)
    assert max(map(len, rows)) < 2 * entries.KEPT_TEXT


def test_jobs_are_functions_of_the_module_and_all_that_the_service_asks_for() -> None:
    assert all(callable(getattr(functions, name)) for name in entries.FUNCTIONS)
    assert set(functions.SWEEPS) < entries.FUNCTIONS


@pytest.mark.parametrize("left", [{"last_heartbeat": "x"}, {"status": "started"}])
def test_what_a_late_heartbeat_left_is_no_job_to_who_asks_for_one(
    queue: queues.JobsQueue, client: redis.Redis, left: dict[str, str]
) -> None:
    """`verify` has one id: it would never be done again."""
    client.hset(Job.key_for(f"{queue.name}-verify"), mapping=left)
    api = JobQueue(client, queue.name)
    job_id = api.enqueue_verify()
    assert queue.get_job_ids() == [job_id]
    assert api.get(job_id)["state"] == "queued"
    api.enqueue_verify()
    assert queue.get_job_ids() == [job_id]


@pytest.mark.parametrize(
    "enqueue",
    [
        lambda api: api.enqueue_verify(),
        lambda api: api.enqueue_batch("b"),
        lambda api: api.enqueue_cleanup({"limit": 1}, "n"),
        lambda api: api.enqueue_archive(["d1"], "n"),
        lambda api: api.enqueue_restore("d1", "n"),
    ],
)
def test_what_nodes_enqueue_are_jobs(
    queue: queues.JobsQueue, client: redis.Redis, enqueue: Callable[[JobQueue], object]
) -> None:
    """Also after they failed and were tried again."""
    api = JobQueue(client, queue.name)
    enqueue(api)
    (job,) = queue.jobs
    assert queue.admit(job.id.encode()) is not None
    queue.remove(job)
    job.set_status(JobStatus.FAILED)
    queue.failed_job_registry.add(job, ttl=60, exc_string="why")
    api.retry(job.id)
    assert queue.admit(job.id.encode()) is not None
    assert len(queue.quarantine) == 0
