"""Who is there, and what is wrong, told also while Redis has no room or no disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service import errors
from service.config.loader import load_config
from service.manager.manager import SessionManager
from service.observability.alarms import AlarmBook
from service.redis_access.job_queue import JobQueue
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer
from tests.support.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    made = RealServer(tmp_path / "valkey")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def client(server: RealServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as made:
        yield made


@pytest.fixture
def store(server: RealServer, key_prefix: str) -> Iterator[RedisSessionStore]:
    manager = SessionManager.connect(
        server.url, load_config(None, {"redis.key_prefix": key_prefix})
    )
    yield manager.store
    manager.close()


def test_beat_without_room_in_redis_keeps_the_process_in_the_list(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """Its TTL is renewed, its figures stay: a full Redis makes nobody disappear."""
    store.fleet.node_beat("n-aaaaaaaaaa", {"ready": 1})
    store.fleet.worker_beat("w", {"version": "1"})
    for key in (store.keys.node("n-aaaaaaaaaa"), store.keys.worker("w")):
        client.expire(key, 2)
    client.config_set("maxmemory", 1)
    store.fleet.node_beat("n-aaaaaaaaaa", {"ready": 0})
    store.fleet.worker_beat("w", {"version": "2"})
    assert client.ttl(store.keys.node("n-aaaaaaaaaa")) > 10
    assert [node["ready"] for node in store.fleet.nodes()] == ["1"]
    assert [worker["version"] for worker in store.fleet.workers()] == ["1"]


def test_alarms_without_room_in_redis_are_shown(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """The alarm that Redis is full cannot be noted down, and is told all the same."""
    book = AlarmBook(store, JobQueue(client, "q"))
    since = {alarm["name"]: alarm["since"] for alarm in book.look()["active"]}
    client.config_set("maxmemory", 1)
    with pytest.raises(errors.Overloaded):
        book.update()
    shown = {alarm["name"]: alarm["since"] for alarm in book.look()["active"]}
    assert shown.keys() - since.keys() == {"redis_memory"}
    assert since.items() <= shown.items()


def test_processes_that_end_or_fall_silent_are_no_more_there(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    for name in ("a", "b", "c"):
        store.fleet.worker_beat(name, {})
    store.fleet.worker_gone("a")
    client.delete(store.keys.worker("b"))  # its TTL is over
    assert [worker["worker"] for worker in store.fleet.workers()] == ["c"]


def test_redis_with_a_broken_disk_is_store_unavailable(
    server: RealServer, store: RedisSessionStore, client: redis.Redis
) -> None:
    """It refuses writes (MISCONF) until it can save again; clients may try again then."""
    client.config_set("save", "3600 1")
    shutil.rmtree(server.folder)
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 10)
    with pytest.raises(errors.StoreUnavailable):
        store.ownership.create("d1")
    server.folder.mkdir()
    client.config_set("save", "")
    assert store.ownership.create("d1")
