"""Workers: the queue, turn-taking, sweeps, and the watch over dead nodes, on a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Retry
from rq.job import JobStatus
from rq.registry import FailedJobRegistry
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from service.config.loader import Config, load_config, to_environment
from service.manager.manager import SessionManager
from service.sessions.store.keys import Keys
from tests.conftest import RealServer
from tests.support.processes import environment
from tests.support.waiting import wait_until
from workers import jobs
from workers import queue as queues
from workers.rescue import Rescue
from workers.schedule import ABANDONED_S, Schedule, Sweep
from workers.watch import Watch

pytestmark = pytest.mark.processes


@pytest.fixture
def config(redis_url: str, key_prefix: str) -> Config:
    """Short times, so that nothing in a test takes long."""
    flags = {
        "redis.url": redis_url,
        "redis.key_prefix": key_prefix,
        "redis.partitions": 2,
        "sessions.idle_after_s": 0.05,
        "sessions.lease_s": 0.4,
        "sessions.renew_s": 0.1,
        "workers.sweep_every_s": 0.3,
        "workers.batch": 3,
    }
    return load_config(None, flags)


@pytest.fixture
def settings(config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The same, where a job looks for it."""
    for name, text in to_environment(config).items():
        monkeypatch.setenv(name, text)
    return config


@pytest.fixture
def manager(config: Config) -> Iterator[SessionManager]:
    one = SessionManager.connect(config.redis.url, config)
    yield one
    one.close()


@pytest.fixture
def client(config: Config) -> Iterator[redis.Redis]:
    with queues.connect(config) as one:
        yield one


@pytest.fixture
def queue(client: redis.Redis, key_prefix: str) -> queues.Queue:
    return queues.open_queue(client, key_prefix)


def work(queue: queues.Queue) -> None:
    """Everything in the queue, by a real worker that forks for each job."""
    queues.open_worker(queue, f"test-{os.urandom(4).hex()}").work(burst=True)


@pytest.fixture
def start(config: Config, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts real worker processes."""
    started: list[subprocess.Popen[bytes]] = []

    def start_worker(**flags: Any) -> subprocess.Popen[bytes]:
        values = to_environment(config) | flags
        with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
            argv = [sys.executable, "-P", "-m", "workers"]
            started.append(
                subprocess.Popen(
                    argv, env=environment(**values), stdout=log, stderr=log, start_new_session=True
                )
            )
        return started[-1]

    yield start_worker
    for one in started:
        try:
            os.killpg(one.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        one.wait(60)


def idle_sessions(manager: SessionManager, count: int) -> None:
    """Sessions that never had a connection, and are older than `idle_after_s`."""
    for _ in range(count):
        manager.create_session()
    created_ms = manager.store.now_ms()
    wait_until(lambda: manager.store.now_ms() > created_ms + 100, 5)


def test_sweep_idle_more_than_a_batch_sweeps_all(settings: Config, manager: SessionManager) -> None:
    """One run takes all that is due, batch by batch, in every partition."""
    idle_sessions(manager, 17)
    fresh = manager.store.index.counts()
    assert fresh["active"] == 17
    assert jobs.sweep_idle() == 17
    assert manager.store.index.counts() == {"active": 0, "inactive": 17, "archived": 0}
    assert jobs.sweep_idle() == 0


def test_worker_runs_a_sweep_and_leaves_nothing(
    settings: Config, manager: SessionManager, queue: queues.Queue, client: redis.Redis
) -> None:
    """A sweep through RQ: JSON only, its id free again right afterwards."""
    idle_sessions(manager, 2)
    schedule = Schedule(client, queue, Keys(settings.redis.key_prefix), [Sweep("sweep_idle", 60)])
    assert schedule.take_turns() == ["sweep_idle"]
    work(queue)
    assert manager.store.index.counts()["inactive"] == 2
    assert client.keys(f"rq:job:{queue.name}*") == []


def test_schedule_of_many_workers_only_one_takes_a_turn(
    client: redis.Redis, queue: queues.Queue, key_prefix: str
) -> None:
    """Exactly one job per turn, however many ask; the next turn comes when Redis says so."""
    schedules = [
        Schedule(client, queue, Keys(key_prefix), [Sweep("sweep_idle", 0.2)]) for _ in range(5)
    ]
    assert sum(len(schedule.take_turns()) for schedule in schedules) == 1
    assert len(queue) == 1
    wait_until(lambda: not client.exists(Keys(key_prefix).turn("sweep_idle")), 5)
    # the turn is free again, the job still waits: unique keeps it at one
    assert sum(len(schedule.take_turns()) for schedule in schedules) == 0
    assert len(queue) == 1


def test_schedule_failed_sweep_is_tried_at_the_next_turn(
    client: redis.Redis, queue: queues.Queue, key_prefix: str
) -> None:
    """A sweep that raised blocks nothing and leaves nothing."""
    schedule = Schedule(client, queue, Keys(key_prefix), [Sweep("no_such_job", 0.05)])
    assert schedule.take_turns() == ["no_such_job"]
    work(queue)
    assert FailedJobRegistry(queue=queue).get_job_ids() == []
    wait_until(lambda: schedule.take_turns() == ["no_such_job"], 5)


def test_schedule_sweep_of_a_dead_worker_is_taken_over(
    client: redis.Redis, queue: queues.Queue, key_prefix: str
) -> None:
    """A worker killed within a sweep does not stop the sweeps for RQ's minutes."""
    schedule = Schedule(client, queue, Keys(key_prefix), [Sweep("sweep_idle", 0.01)])
    assert schedule.take_turns() == ["sweep_idle"]
    (job,) = queue.jobs
    queue.remove(job)
    job.set_status(JobStatus.STARTED)
    job.heartbeat(datetime.now(UTC), ttl=100)
    wait_until(lambda: not client.exists(Keys(key_prefix).turn("sweep_idle")), 5)
    assert schedule.take_turns() == []
    job.heartbeat(datetime.now(UTC) - timedelta(seconds=ABANDONED_S + 1), ttl=100)
    wait_until(lambda: schedule.take_turns() == ["sweep_idle"], 5)
    assert len(queue) == 1


def test_rescue_job_taken_and_never_started_is_put_back_once(
    queue: queues.Queue, client: redis.Redis
) -> None:
    """A worker killed between queue and start: of all workers that see it one puts it back."""
    job = queue.enqueue("workers.jobs.sweep_idle", job_id=f"{queue.name}-one")
    client.lmove(queue.key, queue.intermediate_queue.key)
    rescues = [Rescue(queue) for _ in range(3)]
    assert [rescue.take_up_taken(dead_s=3600) for rescue in rescues] == [0, 0, 0]
    assert sum(rescue.take_up_taken(dead_s=0) for rescue in rescues) == 1
    assert queue.get_job_ids() == [job.id]
    assert client.llen(queue.intermediate_queue.key) == 0


def test_rescue_started_job_of_a_dead_worker_is_retried_or_fails(
    queue: queues.Queue, client: redis.Redis
) -> None:
    """As its retries say; one that still beats is left alone."""
    retry = Retry(max=1)
    for name, options in (("retried", {"retry": retry}), ("failed", {}), ("alive", {})):
        queue.enqueue("workers.jobs.sweep_idle", job_id=f"{queue.name}-{name}", **options)
    worker = queues.open_worker(queue, f"dead-{os.urandom(4).hex()}")
    for job in queue.jobs:
        queue.remove(job)
        worker.prepare_execution(job)
        worker.prepare_job_execution(job)
        if not job.id.endswith("alive"):
            (entry,) = [
                one for one in client.zrange(f"rq:wip:{queue.name}", 0, -1) if job.id in str(one)
            ]
            client.zincrby(f"rq:wip:{queue.name}", -30, entry)
    Rescue(queue).take_up_started()
    assert queue.get_job_ids() == [f"{queue.name}-retried"]
    assert FailedJobRegistry(queue=queue).get_job_ids(cleanup=False) == [f"{queue.name}-failed"]
    alive = queue.fetch_job(f"{queue.name}-alive")
    assert alive is not None
    assert alive.is_started


def test_scheduled_retries_of_a_dead_scheduler_go_on_within_seconds(
    config: Config, client: redis.Redis, queue: queues.Queue
) -> None:
    """RQ's lock would outlive its worker for a minute, and others would not try for ten."""

    def scheduler() -> RQScheduler:
        return RQScheduler([queue.name], connection=client, serializer=JSONSerializer)

    watches = [Watch(None, None, scheduler(), None, None, None) for _ in range(2)]  # type: ignore[arg-type]
    for watch in watches:
        watch.move_scheduled()
    assert 0 < client.pttl(RQScheduler.get_locking_key(queue.name)) <= 10_000
    client.delete(RQScheduler.get_locking_key(queue.name))  # the first died, and time passed
    queue.enqueue_in(timedelta(0), "workers.jobs.sweep_idle", job_id=f"{queue.name}-late")
    wait_until(lambda: watches[1].move_scheduled() or queue.get_job_ids(), 5)


@pytest.mark.parametrize("name", ["os.system", "workers.jobs.os.system", "workers.jobs._log.info"])
def test_worker_refuses_functions_that_are_no_jobs(queue: queues.Queue, name: str) -> None:
    """Who can write to Redis cannot make a worker run something else."""
    job = queue.enqueue(name, "true", job_id=f"forged-{os.urandom(4).hex()}")
    work(queue)
    job.refresh()
    assert job.get_status() == JobStatus.FAILED
    assert "is no job of Muster" in (job.latest_result().exc_string or "")


def test_queue_names_keep_services_apart() -> None:
    """Two services on one Redis do not take each other's jobs."""
    names = {queues.queue_name(prefix) for prefix in ("a", "a:b", "a.b", "a-b", "a_b")}
    assert len(names) == 5
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for name in names)


def test_watch_dead_node_its_sessions_are_let_go(
    config: Config, manager: SessionManager, client: redis.Redis, queue: queues.Queue
) -> None:
    """Where no node is left, a worker sees that the last one died."""
    manager.store.ownership.renew("dead-node")
    manager.store.ownership.register("device", node_id="dead-node", sid="dead.sid")
    assert manager.store.index.counts()["active"] == 1
    schedule = Schedule(client, queue, Keys(config.redis.key_prefix), [])
    watch = Watch(lambda: manager, schedule, None, None, None, None)  # type: ignore[arg-type]

    def expired() -> bool:
        watch.expire()
        return manager.store.index.counts() == {"active": 0, "inactive": 1, "archived": 0}

    wait_until(expired, 10, every_s=0.1)
    session = manager.get_session("device")
    assert session is not None
    assert session["disconnect_reason"] == "lease_expired"


def test_worker_process_sweeps_and_watches_until_sigterm(
    start: Callable[..., subprocess.Popen[bytes]], manager: SessionManager
) -> None:
    """The whole process: both roads of work, then an orderly end within seconds."""
    idle_sessions(manager, 2)
    manager.store.ownership.renew("dead-node")
    manager.store.ownership.register("device", node_id="dead-node", sid="dead.sid")
    worker = start()
    wait_until(lambda: manager.store.index.counts()["inactive"] == 3, 20)
    worker.terminate()
    assert worker.wait(60) == 0


def test_worker_killed_leaves_no_process_and_another_goes_on(
    start: Callable[..., subprocess.Popen[bytes]],
    manager: SessionManager,
    queue: queues.Queue,
    client: redis.Redis,
) -> None:
    """kill -9 of a worker: nothing of it goes on, and the turns are taken by the next one."""
    first = start()
    turn = f"{manager.store.keys.meta.rpartition(':')[0]}:turn:sweep_idle"
    job = f"rq:job:{queue.name}-sweep_idle"
    wait_until(lambda: client.exists(turn) and not client.exists(job), 20)
    first.kill()
    first.wait(60)
    wait_until(lambda: _group_is_empty(first.pid), 10)
    idle_sessions(manager, 1)
    start()
    wait_until(lambda: manager.store.index.counts()["inactive"] == 1, 40)


def _group_is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_worker_redis_restarted_goes_on_by_itself(
    start: Callable[..., subprocess.Popen[bytes]], config: Config, own_server: RealServer
) -> None:
    """An outage of Redis ends no worker; it works again within seconds."""
    worker = start(MUSTER_REDIS__URL=own_server.url)
    manager = SessionManager.connect(own_server.url, config)
    try:
        idle_sessions(manager, 1)
        wait_until(lambda: manager.store.index.counts()["inactive"] == 1, 20)
        own_server.kill()
        own_server.start()
        idle_sessions(manager, 1)
        wait_until(lambda: manager.store.index.counts()["inactive"] == 2, 40)
        assert worker.poll() is None
    finally:
        manager.close()


def test_worker_refused_settings_exit_with_2(
    start: Callable[..., subprocess.Popen[bytes]], manager: SessionManager, tmp_path: Path
) -> None:
    """Another number of partitions than the data has stops the start and says so."""
    worker = start(MUSTER_REDIS__PARTITIONS="5")
    assert worker.wait(60) == 2
    assert "redis.partitions" in (tmp_path / "worker-0.log").read_text()
