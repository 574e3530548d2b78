"""Clients of `redis+sentinel://`, with real servers and Sentinels."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service import errors
from service.redis_clients import redis_factory
from service.sessions.model import AppendPart
from service.sessions.scripts import translated
from tests.conftest import RealServer
from tests.sentinels import Watched
from tests.stores import make_store, part
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """For tests that leave the primary where it is."""
    group = Watched(tmp_path_factory.mktemp("watched"))
    group.start()
    yield group
    group.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """For one test, which may kill its servers."""
    group = Watched(tmp_path)
    group.start()
    yield group
    group.close()


Connect = Callable[..., redis.Redis]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Clients as the service has them; closed at the end."""
    made: list[redis.Redis] = []

    def make(url: str, max_connections: int = 10) -> redis.Redis:
        made.append(redis_factory(url, max_connections)())
        return made[-1]

    yield make
    for client in made:
        client.connection_pool.disconnect()


def port_of(client: redis.Redis) -> int:
    """Where the next call goes."""
    return int(client.config_get("port")["port"])


def parts(session_id: str, value: int) -> list[AppendPart]:
    return [part(session_id, None, ("n", value))]


class TestConnections:
    def test_call_that_is_broken_off_leaves_no_reply_to_the_next(
        self, shared: Watched, connect: Connect, key_prefix: str
    ) -> None:
        """RQ ends its wait for a job by an exception from a signal handler."""

        class BrokenOff(Exception):
            pass

        def break_off(*_: Any) -> None:
            raise BrokenOff

        client = connect(shared.url, 1)
        before = signal.signal(signal.SIGALRM, break_off)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            with pytest.raises(BrokenOff):
                client.blpop([f"{key_prefix}:jobs"], 2)
        finally:
            signal.signal(signal.SIGALRM, before)
        with connect(shared.url) as other:
            other.rpush(f"{key_prefix}:jobs", "late")
        with client.pipeline(transaction=True) as pipe:
            pipe.echo("mine")
            assert pipe.execute() == ["mine"]

    def test_more_callers_than_connections_wait_for_their_turn(
        self, shared: Watched, connect: Connect, key_prefix: str
    ) -> None:
        client = connect(shared.url, 2)
        threads = [
            threading.Thread(target=client.incr, args=(f"{key_prefix}:n",)) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert client.get(f"{key_prefix}:n") == "20"

    def test_paused_primary_is_left_and_not_asked_again_when_it_wakes(
        self, watched: Watched, connect: Connect
    ) -> None:
        """A connection that stood in the pool all the time still leads to the old one."""
        client = connect(watched.url)
        old = watched.primary
        standing = client.connection_pool.get_connection()
        assert port_of(client) == old.port
        client.connection_pool.release(standing)

        old.pause()
        new = watched.await_failover(old)

        def follows() -> bool:
            try:
                return port_of(client) == new.port
            except (redis.ConnectionError, redis.TimeoutError):
                return False

        wait_until(follows, 10)
        old.resume()
        held = [client.connection_pool.get_connection() for _ in range(3)]
        assert {connection.port for connection in held} == {new.port}
        for connection in held:
            client.connection_pool.release(connection)

    def test_replica_that_sentinels_still_name_is_refused(
        self, shared: Watched, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replica = shared.replica
        monkeypatch.setattr(
            "redis.sentinel.Sentinel.discover_master", lambda *_: ("127.0.0.1", replica.port)
        )
        with pytest.raises(errors.StoreUnavailable), translated():
            connect(shared.url).ping()

    def test_passwords_of_servers_and_sentinels_differ(
        self, tmp_path: Path, connect: Connect
    ) -> None:
        group = Watched(
            tmp_path, replicas=0, sentinels=1, password="of server", sentinel_password="of@both"
        )
        try:
            group.start()
            place = group.url.removeprefix("redis+sentinel://")
            url = f"redis+sentinel://:of%20server@{place}?sentinel_password=of%40both"
            assert connect(url).ping()
            for wrong in (f"redis+sentinel://{place}", f"redis+sentinel://:of%20server@{place}"):
                with pytest.raises(redis.RedisError):
                    connect(wrong).ping()
        finally:
            group.close()


class TestDemoted:
    """A server behind `redis://` that becomes a replica, and what the store makes of its words."""

    def test_connection_to_a_demoted_server_is_dropped_and_the_call_counts_as_an_outage(
        self, own_server: RealServer, connect: Connect, key_prefix: str
    ) -> None:
        client = connect(own_server.url, 1)
        store = make_store(client, key_prefix)
        before = client.client_id()
        with redis.Redis.from_url(own_server.url) as admin:
            admin.replicaof("127.0.0.1", 1)
            with pytest.raises(errors.StoreUnavailable):
                store.append(0, "node-a", 1, parts("d1", 1))
            with pytest.raises(errors.StoreUnavailable):
                store.create("d1")
            admin.replicaof("NO", "ONE")
        assert store.create("d1")
        assert client.client_id() != before

    def test_script_whose_text_went_to_another_server_counts_as_an_outage(
        self,
        own_server: RealServer,
        connect: Connect,
        key_prefix: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Within a failover the connections of one pool lead to two servers."""
        store = make_store(connect(own_server.url), key_prefix)
        store.create("d1")
        with redis.Redis.from_url(own_server.url) as admin:
            admin.script_flush()
        sha = store._scripts["setup_put"].sha
        monkeypatch.setattr(store._client, "script_load", lambda text: sha)
        with pytest.raises(errors.StoreUnavailable):
            store.setup_put("d1", b"{}")

    def test_too_few_replicas_for_the_server_itself_count_as_an_outage(
        self, own_server: RealServer, connect: Connect, key_prefix: str
    ) -> None:
        """`min-replicas-to-write`: scripts, and commands in a pipeline."""
        client = connect(own_server.url)
        store = make_store(client, key_prefix)
        client.config_set("min-replicas-to-write", 1)
        with pytest.raises(errors.StoreUnavailable):
            store.append(0, "node-a", 1, parts("d1", 1))
        with pytest.raises(errors.StoreUnavailable):
            store.node_beat("node-a", {})
