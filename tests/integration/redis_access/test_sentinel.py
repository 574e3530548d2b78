"""Clients of `redis+sentinel://`, and replicas that confirm what is answered; real servers and Sentinels."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service import errors
from service.manager.bulk import Batches
from service.redis_access.clients import redis_factory
from service.redis_access.job_queue import JobQueue
from service.redis_access.replies import translated
from service.sessions.model import AppendPart, AppendResult
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer
from tests.support.nodes.stores import make_store, part
from tests.support.system.sentinels import Watched
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes  # three servers and a Sentinel, for which most of it waits


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

    def make(url: str, max_connections: int = 10, **options: Any) -> redis.Redis:
        made.append(redis_factory(url, max_connections)(**options))
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
            thread.join(60)
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
                store.samples.append(0, "node-a", 1, parts("d1", 1))
            with pytest.raises(errors.StoreUnavailable):
                store.ownership.create("d1")
            admin.replicaof("NO", "ONE")
        assert store.ownership.create("d1")
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
        store.ownership.create("d1")
        with redis.Redis.from_url(own_server.url) as admin:
            admin.script_flush()
        sha = store.runner.scripts["setup_put"].sha
        monkeypatch.setattr(store.runner.client, "script_load", lambda text: sha)
        with pytest.raises(errors.StoreUnavailable):
            store.setups.put("d1", b"{}")

    def test_too_few_replicas_for_the_server_itself_count_as_an_outage(
        self, own_server: RealServer, connect: Connect, key_prefix: str
    ) -> None:
        """`min-replicas-to-write`: scripts, and commands in a pipeline."""
        client = connect(own_server.url)
        store = make_store(client, key_prefix)
        client.config_set("min-replicas-to-write", 1)
        with pytest.raises(errors.StoreUnavailable):
            store.samples.append(0, "node-a", 1, parts("d1", 1))
        with pytest.raises(errors.StoreUnavailable):
            store.fleet.node_beat("node-a", {})


class TestConfirmedAnswers:
    @pytest.fixture
    def store(self, shared: Watched, connect: Connect, key_prefix: str) -> RedisSessionStore:
        store = make_store(connect(shared.url), key_prefix, wait_replicas=1)
        store.ownership.create("d1")
        return store

    @pytest.fixture
    def away(self, shared: Watched) -> Iterator[RealServer]:
        """The replica does not answer; Sentinels have no say in it."""
        replica = shared.replica
        replica.pause()
        yield replica
        replica.resume()
        wait_until(shared.is_whole, 15)

    def test_flush_is_withheld_until_replicas_have_it_and_stored_once(
        self, store: RedisSessionStore, away: RealServer, shared: Watched
    ) -> None:
        """Repeated, over a connection that has written nothing: still not confirmed."""
        for _ in range(2):
            with pytest.raises(errors.StoreUnavailable):
                store.samples.append(0, "node-a", 1, parts("d1", 7))
            store.runner.client.connection_pool.disconnect()
        assert store.runner.replication is not None
        assert store.runner.replication.withheld == 2
        away.resume()
        answer = wait_until(lambda: answered(store, 1, 7), 10)
        assert answer == [AppendResult("ok", 2)]
        with redis.Redis(port=away.port, decode_responses=True) as replica:
            assert replica.llen(store.keys.history("d1", "n")) == 1

    @pytest.mark.parametrize(
        "act",
        [
            lambda store: store.setups.put("d1", b"{}"),
            lambda store: store.ownership.register("d1", node_id="node-a", sid="a.1"),
            lambda store: store.ownership.create("d2"),
            lambda store: store.cleanup.delete("d1"),
        ],
        ids=["setup", "register", "create", "delete"],
    )
    def test_answer_is_withheld_while_no_replica_has_it(
        self, store: RedisSessionStore, away: RealServer, act: Callable[[Any], Any]
    ) -> None:
        with pytest.raises(errors.StoreUnavailable):
            act(store)

    def test_bulk_command_is_accepted_once_replicas_have_it_and_its_job(
        self, store: RedisSessionStore, away: RealServer, shared: Watched, connect: Connect
    ) -> None:
        jobs = JobQueue(connect(shared.url, decode_responses=False), store.keys.prefix)
        batches = Batches(store, jobs, 1000)
        with pytest.raises(errors.StoreUnavailable):
            batches.start({"command": "wink"}, ["d1"], "once")
        away.resume()
        wait_until(shared.is_whole, 15)
        batch_id = batches.start({"command": "wink"}, ["d1"], "once")["batch_id"]
        with redis.Redis(port=away.port, decode_responses=True) as replica:
            assert replica.hget(store.keys.command_batch(batch_id), "state") == "queued"
            assert replica.llen(f"rq:queue:{store.keys.prefix}") == 1

    def test_leases_are_renewed_while_answers_wait(
        self, shared: Watched, connect: Connect, key_prefix: str, away: RealServer
    ) -> None:
        """Whoever waits for replicas leaves connections to those who do not."""
        store = make_store(connect(shared.url, 2), key_prefix, wait_replicas=1)
        waiting = [threading.Thread(target=_ignoring, args=(store, n)) for n in range(4)]
        for thread in waiting:
            thread.start()
        slowest = 0.0
        while any(thread.is_alive() for thread in waiting):
            watch = Stopwatch()
            store.ownership.renew("node-a")
            slowest = max(slowest, watch.quiet_s)
        assert slowest < 0.5

    def test_block_of_writes_is_withheld_when_the_primary_changed_within(
        self, watched: Watched, connect: Connect, key_prefix: str
    ) -> None:
        """The new one has replicas too, and they have all that it has: not what was written before."""
        client = connect(watched.url)
        store = make_store(client, key_prefix, wait_replicas=1)
        old = watched.primary

        def move() -> None:
            with pytest.raises(errors.StoreUnavailable), store.replicated():
                client.set(f"{key_prefix}:x", "1")
                old.kill()
                watched.await_failover(old)
                old.start()
                wait_until(watched.is_whole, 20)

        move()
        with store.replicated():
            client.set(f"{key_prefix}:x", "2")

    def test_woken_primary_confirms_nothing_that_its_successor_does_not_have(
        self, watched: Watched, connect: Connect, key_prefix: str
    ) -> None:
        """Two primaries for a moment: what the old one takes is lost, so it is not acked."""
        old = watched.primary
        left = make_store(connect(old.url), key_prefix, wait_replicas=1)
        left.ownership.create("d1")
        old.pause()
        new = watched.await_failover(old)
        old.resume()
        for number in range(1, 4):
            with pytest.raises(errors.StoreUnavailable):
                left.samples.append(0, "node-a", number, parts("d1", number))
        followed = make_store(connect(watched.url), key_prefix, wait_replicas=1)
        wait_until(watched.is_whole, 20)
        assert new.port == watched.primary_port
        assert followed.samples.append(0, "node-a", 1, parts("d1", 1)) == [AppendResult("ok", 2)]


def answered(store: RedisSessionStore, number: int, value: int) -> list[AppendResult] | None:
    try:
        return store.samples.append(0, "node-a", number, parts("d1", value))
    except errors.StoreUnavailable:
        return None


def _ignoring(store: RedisSessionStore, number: int) -> None:
    with pytest.raises(errors.StoreUnavailable):
        store.setups.put("d1", b"{}", timestamp_ms=number)
