"""Workers: the queue, turn-taking, sweeps, and the watch over dead nodes, on a real server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service.config.loader import Config, load_config, to_environment
from service.manager.manager import SessionManager
from service.sessions.store.keys import Keys
from tests.conftest import RealServer
from tests.support.system.bursts import work
from tests.support.system.forks import Forked
from tests.support.waiting import wait_until
from workers import jobs
from workers import queue as queues
from workers.schedule import Schedule
from workers.turns import Sweep
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
def queue(client: redis.Redis, key_prefix: str) -> queues.JobsQueue:
    return queues.open_queue(client, key_prefix)


@pytest.fixture
def start(config: Config, tmp_path: Path) -> Iterator[Callable[..., Forked]]:
    """Starts real worker processes."""
    started: list[Forked] = []

    def start_worker(**flags: Any) -> Forked:
        values = to_environment(config) | flags
        with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
            started.append(Forked("worker", values, out=log))
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
    settings: Config, manager: SessionManager, queue: queues.JobsQueue, client: redis.Redis
) -> None:
    """A sweep through RQ: JSON only, its id free again right afterwards."""
    idle_sessions(manager, 2)
    schedule = Schedule(client, queue, Keys(settings.redis.key_prefix), [Sweep("sweep_idle", 60)])
    assert schedule.take_turns() == ["sweep_idle"]
    work(queue)
    assert manager.store.index.counts()["inactive"] == 2
    assert client.keys(f"rq:job:{queue.name}*") == []


def test_queue_names_keep_services_apart() -> None:
    """Two services on one Redis do not take each other's jobs."""
    names = {queues.queue_name(prefix) for prefix in ("a", "a:b", "a.b", "a-b", "a_b")}
    assert len(names) == 5
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for name in names)


def test_watch_dead_node_its_sessions_are_let_go(
    config: Config, manager: SessionManager, client: redis.Redis, queue: queues.JobsQueue
) -> None:
    """Where no node is left, a worker sees that the last one died."""
    manager.store.ownership.renew("dead-node")
    manager.store.ownership.register("device", node_id="dead-node", sid="dead.sid")
    assert manager.store.index.counts()["active"] == 1
    schedule = Schedule(client, queue, Keys(config.redis.key_prefix), [])
    watch = Watch(lambda: manager, schedule, None, None, None)  # type: ignore[arg-type]

    def expired() -> bool:
        watch.expire()
        return manager.store.index.counts() == {"active": 0, "inactive": 1, "archived": 0}

    wait_until(expired, 10, every_s=0.1)
    session = manager.get_session("device")
    assert session is not None
    assert session["disconnect_reason"] == "lease_expired"


def test_worker_process_sweeps_and_watches_until_sigterm(
    start: Callable[..., Forked], manager: SessionManager
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
    start: Callable[..., Forked],
    manager: SessionManager,
    queue: queues.JobsQueue,
    client: redis.Redis,
) -> None:
    """kill -9 of a worker: nothing of it goes on, and the turns are taken by the next one."""
    first = start()
    turn = f"{manager.store.keys.meta.rpartition(':')[0]}:turn:sweep_idle"
    wait_until(lambda: client.exists(turn), 20)
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
    start: Callable[..., Forked], config: Config, own_server: RealServer
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
    start: Callable[..., Forked], manager: SessionManager, tmp_path: Path
) -> None:
    """Another number of partitions than the data has stops the start and says so."""
    worker = start(MUSTER_REDIS__PARTITIONS="5")
    assert worker.wait(60) == 2
    assert "redis.partitions" in (tmp_path / "worker-0.log").read_text()
