"""Everybody who asks Redis while somebody's script keeps it busy; a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from service import errors
from service.live.feed.feed import Feed
from service.live.queue.external import ExternalMessages
from service.redis_access.clients import redis_factory
from service.redis_access.job_queue import JobQueue
from service.sessions.store.keys import Keys
from tests.conftest import RealServer
from tests.support.nodes.stores import make_store, part
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder: Path = tmp_path_factory.mktemp("busy")
    made = RealServer(folder, options=("--busy-reply-threshold", "20"))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def client(server: RealServer) -> Iterator[redis.Redis]:
    made = redis_factory(server.url)()
    made.flushall()
    yield made
    made.close()


@pytest.fixture
def busy(server: RealServer) -> Iterator[Callable[[], None]]:
    """Call it: from then to the end of the test Redis is at a script that never ends."""
    stranger = redis.Redis.from_url(server.url, socket_timeout=None)

    def run() -> None:
        with pytest.raises(redis.ResponseError, match="killed"):
            stranger.eval("while true do end", 0)

    thread = threading.Thread(target=run, daemon=True)

    def is_busy() -> bool:
        try:
            other.ping()
        except redis.ResponseError as error:
            return str(error).startswith("BUSY")
        return False

    def begin() -> None:
        thread.start()
        wait_until(is_busy, 10, what="Redis is busy")

    with redis.Redis.from_url(server.url) as other:
        yield begin
        if thread.ident:
            other.script_kill()
            thread.join(10)
    stranger.close()


def test_everybody_who_asks_a_busy_redis_is_told_to_come_again(
    client: redis.Redis,
    server: RealServer,
    busy: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Store, feeds, message queue and queue of jobs: nobody takes it for a fault of the service."""
    monkeypatch.setattr("service.sessions.store.runner.PATIENCE_S", 0.05)
    store = make_store(client, "busy")
    store.ownership.register("d1", node_id="n1", sid="s1")
    factory = redis_factory(server.url)
    queue = factory(decode_responses=False)
    jobs = JobQueue(queue, "busy")
    messages = ExternalMessages(client, Keys("busy", 1), retry_s=0.05)
    feed = Feed(factory, store.keys, store.samples)
    reader = feed.reader()
    reader.connect()
    busy()
    asked: dict[str, Callable[[], object]] = {
        "script": lambda: store.samples.append(0, "w", 1, [part("d1", None, ("k", 1))]),
        "pipeline": store.fleet.nodes,
        "command": store.upkeep.read,
        "server": store.fleet.server,
        "memory": store.upkeep.redis_memory,
        "jobs": jobs.counts,
        "job": lambda: jobs.get("busy-1"),
        "message": lambda: messages.emit("e", {}),
        "feed": lambda: reader.read({0: 0}, 0.1),
        "page of a feed": lambda: feed.read_range({0: (0, 5)}),
    }
    told = {name: _told(ask) for name, ask in asked.items()}
    assert told == dict.fromkeys(asked, "store_unavailable")
    for opened in (reader, feed, queue):
        opened.close()


def _told(ask: Callable[[], object]) -> str:
    try:
        ask()
    except errors.ServiceError as error:
        return error.code
    return "answered"
