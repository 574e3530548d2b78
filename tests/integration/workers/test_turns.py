"""Turns of sweeps, on a real server: one at a time, and none for ever, whatever RQ and clocks say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from rq.job import Job, JobStatus

from service.config.loader import Config, load_config, to_environment
from service.manager.manager import SessionManager
from service.observability.alarms import late_sweeps
from service.sessions.store.keys import Keys
from service.sessions.store.store import RedisSessionStore
from service.sessions.store.upkeep.cleanup import CleanupStore
from tests.support.nodes.stores import make_store
from tests.support.system.bursts import work
from tests.support.waiting import wait_until
from workers import jobs, turns
from workers import queue as queues
from workers.schedule import Schedule
from workers.turns import Sweep, Turns

IDLE = Sweep("sweep_idle", 600)


@pytest.fixture
def config(redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Where a job looks for it."""
    made = load_config(None, {"redis.url": redis_url, "redis.key_prefix": key_prefix})
    for name, text in to_environment(made).items():
        monkeypatch.setenv(name, text)
    return made


@pytest.fixture
def client(config: Config) -> Iterator[redis.Redis]:
    with queues.connect(config) as one:
        yield one


@pytest.fixture
def queue(client: redis.Redis, key_prefix: str) -> queues.JobsQueue:
    return queues.open_queue(client, key_prefix)


@pytest.fixture
def keys(key_prefix: str) -> Keys:
    return Keys(key_prefix)


@pytest.fixture
def schedule(client: redis.Redis, queue: queues.JobsQueue, keys: Keys) -> Schedule:
    return Schedule(client, queue, keys, [IDLE])


@pytest.fixture
def taking(client: redis.Redis, queue: queues.JobsQueue, keys: Keys) -> Turns:
    return Turns(client, keys, queue.key, queue.name)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns that nobody renews end within a moment."""
    monkeypatch.setattr(turns, "HOLD_S", 0.3)
    monkeypatch.setattr(turns, "RENEW_S", 0.05)


def run_next(queue: queues.JobsQueue) -> Any:
    """The next job, in this process, as far as its function goes."""
    found = queues.JobsQueue.dequeue_any([queue], None, queue.connection)
    assert found is not None
    job, _ = found
    queue.connection.lrem(queue.intermediate_queue.key, 1, job.id)
    return job.func(*job.args)


def test_of_many_workers_one_takes_a_turn(
    client: redis.Redis, queue: queues.JobsQueue, keys: Keys
) -> None:
    schedules = [Schedule(client, queue, keys, [IDLE]) for _ in range(5)]
    assert sum(len(one.take_turns()) for one in schedules) == 1
    assert len(queue) == 1


@pytest.mark.usefixtures("quick")
def test_a_job_that_waits_in_line_keeps_its_turn_and_its_place(
    schedule: Schedule, queue: queues.JobsQueue, client: redis.Redis, keys: Keys
) -> None:
    """However long the queue is there is one job of the sweep in it."""
    assert schedule.take_turns() == ["sweep_idle"]
    first = queue.get_job_ids()
    for _ in range(3):
        wait_until(lambda: not client.exists(keys.turn("sweep_idle")), 5)
        assert schedule.take_turns() == []
        assert client.exists(keys.turn("sweep_idle"))
    assert queue.get_job_ids() == first


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "left",
    [
        lambda job: job.connection.delete(job.key),
        lambda job: job.heartbeat(datetime.now(UTC), 60),
        lambda job: job.set_status(JobStatus.STARTED),
        lambda job: (job.connection.delete(job.key), job.heartbeat(datetime.now(UTC), 60)),
        lambda job: job.connection.zadd(f"rq:wip:{job.origin}", {f"{job.id}:x": 9e9}),
        lambda job: job.connection.zadd(f"rq:scheduled:{job.origin}", {job.id: 9e9}),
    ],
    ids=["nothing", "queued", "started", "a late heartbeat", "in progress for ever", "scheduled"],
)
def test_a_sweep_whose_worker_died_has_its_next_turn_whatever_rq_has_noted(
    schedule: Schedule, queue: queues.JobsQueue, left: Callable[[Job], object]
) -> None:
    """RQ's records and registries decide nothing."""
    assert schedule.take_turns() == ["sweep_idle"]
    (job,) = queue.jobs
    queue.remove(job)
    left(job)
    wait_until(lambda: schedule.take_turns() == ["sweep_idle"], 5)


@pytest.mark.usefixtures("quick")
def test_whoever_runs_a_sweep_keeps_its_turn_until_the_next_is_due(
    taking: Turns, client: redis.Redis, keys: Keys
) -> None:
    """Also for longer than an unrenewed one lasts."""
    token = taking.take(IDLE)
    assert token
    with taking.held(IDLE, token) as is_mine:
        assert is_mine
        renewed: list[int] = []

        def is_renewed() -> bool:
            renewed.append(client.pttl(keys.turn("sweep_idle")))
            return sum(now > before for before, now in pairwise(renewed)) > 8

        wait_until(is_renewed, 10, every_s=0.01)
        assert taking.take(IDLE) is None
    assert 590_000 < client.pttl(keys.turn("sweep_idle")) <= 600_000
    assert taking.take(IDLE) is None


def test_a_worker_that_wakes_up_leaves_the_turn_to_who_has_it_now(
    taking: Turns, client: redis.Redis, keys: Keys
) -> None:
    """It neither runs the sweep nor touches the key."""
    slept = taking.take(IDLE)
    assert slept
    client.delete(keys.turn("sweep_idle"))
    token = taking.take(IDLE)
    with taking.held(IDLE, slept) as is_mine:
        assert not is_mine
    assert client.get(keys.turn("sweep_idle")) == str(token).encode()


def test_a_sweep_whose_turn_is_anothers_does_nothing(
    taking: Turns,
    client: redis.Redis,
    keys: Keys,
    store: RedisSessionStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does it count as run."""
    monkeypatch.setitem(jobs.SWEEPS, "sweep_idle", lambda: 1 / 0)
    late = taking.take(IDLE)
    assert late
    client.delete(keys.turn("sweep_idle"))
    assert taking.take(IDLE)
    assert jobs.run_sweep("sweep_idle", late, IDLE.every_s) is None
    assert "ran_at:sweep_idle" not in store.upkeep.read()


def test_a_redis_whose_clock_went_back_does_not_stop_sweeps(
    schedule: Schedule, queue: queues.JobsQueue, client: redis.Redis, keys: Keys
) -> None:
    """The key lives for an hour longer then, which no turn does."""
    client.set(keys.turn("sweep_idle"), "before", px=3_600_000 + 600_000)
    assert schedule.take_turns() == ["sweep_idle"]
    run_next(queue)
    assert client.pttl(keys.turn("sweep_idle")) <= 600_000
    client.set(keys.turn("sweep_idle"), "for ever")
    assert schedule.take_turns() == ["sweep_idle"]


def test_one_sweep_that_cannot_be_enqueued_does_not_stop_the_others(
    client: redis.Redis, queue: queues.JobsQueue, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken in vain is given back."""
    enqueue = queue.enqueue

    def refuse(function: str, args: tuple[Any, ...], **options: Any) -> None:
        if args[0] != "sweep_idle":
            raise redis.ResponseError("no")
        enqueue(function, args=args, **options)

    monkeypatch.setattr(queue, "enqueue", refuse)
    sweeps = [Sweep("purge_expired_archives", 600), IDLE]
    with pytest.raises(redis.ResponseError):
        Schedule(client, queue, keys, sweeps).take_turns()
    (job,) = queue.jobs
    assert job.args[0] == "sweep_idle"
    assert client.pttl(keys.turn("purge_expired_archives")) <= 1  # not by itself, seconds later


@pytest.mark.processes
def test_a_sweep_that_ran_is_noted_and_leaves_nothing(
    schedule: Schedule, queue: queues.JobsQueue, client: redis.Redis, store: RedisSessionStore
) -> None:
    """No job, no registry; the next turn is due when its time has come."""
    schedule.note(store)
    client.hset(store.keys.upkeep, "ran_at:sweep_idle", 1)
    assert schedule.take_turns() == ["sweep_idle"]
    work(queue)
    assert late_sweeps(store.upkeep.read(), store.now_ms()) == []
    assert [key for key in client.keys(f"rq:*{queue.name}*") if b"worker" not in key] == []


@pytest.mark.processes
def test_a_sweep_that_failed_is_late_and_tried_again(
    queue: queues.JobsQueue,
    client: redis.Redis,
    keys: Keys,
    store: RedisSessionStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It blocks nothing, leaves nothing, and does not count as run."""
    monkeypatch.setitem(jobs.SWEEPS, "sweep_idle", lambda: 1 / 0)
    schedule = Schedule(client, queue, keys, [Sweep("sweep_idle", 0.05)])
    schedule.note(store)
    client.hset(keys.upkeep, "ran_at:sweep_idle", 1)
    assert schedule.take_turns() == ["sweep_idle"]
    work(queue)
    assert late_sweeps(store.upkeep.read(), store.now_ms()) == ["sweep_idle"]
    assert client.keys(f"rq:job:{queue.name}*") == []
    wait_until(lambda: schedule.take_turns() == ["sweep_idle"], 5)


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix)


def test_a_new_sweep_counts_from_when_it_was_known(
    schedule: Schedule, store: RedisSessionStore
) -> None:
    schedule.note(store)
    upkeep, now_ms = store.upkeep.read(), store.now_ms()
    assert late_sweeps(upkeep, now_ms + 3 * 600_000 - 1_000) == []
    assert late_sweeps(upkeep, now_ms + 3 * 600_000 + 1_000) == ["sweep_idle"]
    assert late_sweeps(upkeep, now_ms - 3_600_000) == ["sweep_idle"]  # Redis's clock went back


@pytest.mark.usefixtures("config")
def test_idle_sessions_of_all_partitions_are_swept_until_none_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call of the store sweeps a batch of one partition."""
    left = {0: 3, 1: 0, 2: 12}

    def sweep(_: object, partition: int, batch: int) -> int:
        now = min(batch, left[partition])
        left[partition] -= now
        return now

    monkeypatch.setenv("MUSTER_REDIS__PARTITIONS", "3")
    monkeypatch.setenv("MUSTER_WORKERS__BATCH", "5")
    monkeypatch.setattr(CleanupStore, "sweep_idle", sweep)
    assert jobs.sweep_idle() == 15
    assert not any(left.values())


def test_nothing_is_purged_after_a_jump_of_redis(
    config: Config,
    store: RedisSessionStore,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """What is in the archive would look as old as the jump is far."""
    monkeypatch.setenv("MUSTER_ARCHIVE__URL", tmp_path.as_uri())
    SessionManager.connect(
        config.redis.url, load_config()
    ).close()  # claims it, as nodes and workers do
    monkeypatch.setattr(jobs.archive, "purge", lambda *_: 7)
    assert jobs.purge_expired_archives() == 7
    store.upkeep.note_clock_jump(40 * 86_400)
    assert jobs.purge_expired_archives() == 0
