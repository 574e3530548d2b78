"""The two Redis ends of the message queue, over a real server.

One outbox (publisher `aaaaaaaaaa`) writes, one reader (token `bbbbbbbbbb`) reads; both in this
process, on real threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from service import errors
from service.live.queue import outbox, streams
from service.live.queue.manager import StreamManager
from service.live.queue.outbox import Outbox
from service.live.queue.reader import StreamReader
from service.live.queue.streams import QueueCounters
from service.sessions.store.keys import Keys
from service.tasks import ThreadTasks
from tests.conftest import RealServer
from tests.support.waiting import Stopwatch, wait_until

RedisFactory = Callable[..., redis.Redis]


class Ends:
    """An outbox and a reader on the same streams."""

    def __init__(self, factory: RedisFactory, prefix: str) -> None:
        self.factory = factory
        self.keys = Keys(prefix)
        self.broadcast, self.inbox = self.keys.mq, self.keys.inbox("bbbbbbbbbb")
        self.redis = factory()
        self.sent, self.read_counters = QueueCounters(), QueueCounters()
        self.reader = StreamReader(
            factory,
            self.broadcast,
            self.inbox,
            "bbbbbbbbbb",
            inbox_ttl_s=60,
            counters=self.read_counters,
        )
        self.outbox = self.make_outbox(factory)

    def make_outbox(self, factory: RedisFactory, cap: int = 100_000) -> Outbox:
        return Outbox(
            factory,
            ThreadTasks(),
            "aaaaaaaaaa",
            cap=cap,
            max_bytes=1 << 20,
            counters=self.sent,
        )

    def start(self) -> Ends:
        self.reader.open()
        ThreadTasks().spawn(self.outbox.run)
        return self

    def send(self, *values: int) -> None:
        """Even values to the inbox, odd ones to all."""
        for value in values:
            to_all = value % 2 == 1
            stream = self.broadcast if to_all else self.inbox
            self.outbox.put(stream, json.dumps(value).encode(), make=to_all)

    def read(self, count: int, timeout_s: float = 5.0) -> list[int]:
        """The values of the next `count` entries, or fewer after the time."""
        values: list[int] = []
        watch = Stopwatch()
        while len(values) < count and watch.quiet_s < timeout_s:
            values += [json.loads(entry.body) for entry in self.reader.read()]
        return values

    def close(self) -> None:
        self.outbox.close(0)
        self.reader.end()


@pytest.fixture
def ends(
    redis_factory: RedisFactory, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ends]:
    monkeypatch.setattr(streams, "BLOCK_MS", 100)
    both = Ends(redis_factory, key_prefix)
    yield both
    both.close()


def flaky(factory: RedisFactory, lost_replies: int) -> RedisFactory:
    """Makes clients that lose the first replies to publishes: Redis has them, the caller cannot know."""
    left = [lost_replies]

    def make(**options: Any) -> redis.Redis:
        client = factory(**options)
        pool: Any = client.connection_pool

        class Losing(pool.connection_class):  # type: ignore[misc]
            is_publish = False

            def send_packed_command(self, command: Any, check_health: bool = True) -> None:
                self.is_publish = any(b"XADD" in piece for piece in command)
                super().send_packed_command(command, check_health)

            def read_response(self, *args: Any, **options: Any) -> Any:
                answer = super().read_response(*args, **options)
                if left[0] and self.is_publish:
                    left[0] -= 1
                    raise redis.exceptions.ConnectionError("reply lost")
                return answer

        pool.connection_class = Losing
        return client

    return make


def test_messages_come_once_and_in_order_from_both_streams(ends: Ends) -> None:
    """More than one XREAD brings, alternating between the streams, in the order of sending."""
    ends.start()
    ends.send(*range(1600))
    assert ends.read(1600) == list(range(1600))
    assert ends.redis.xlen(ends.inbox) == 801  # and the greeting
    assert ends.redis.xlen(ends.broadcast) == 800


def test_messages_from_before_the_reader_are_not_read(ends: Ends) -> None:
    ends.redis.xadd(ends.broadcast, {"n": "cccccccccc:1", "d": "1"})
    ends.start()
    ends.send(3)
    assert ends.read(1) == [3]


def test_reader_that_could_not_begin_reads_what_was_sent_since(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may reach a Redis that comes back a moment before this node does."""

    def fail(*_args: Any) -> None:
        raise redis.exceptions.ConnectionError("away")

    with monkeypatch.context() as away:
        away.setattr(streams, "make_inbox", fail)
        with pytest.raises(redis.exceptions.ConnectionError):
            ends.reader.read()
        ends.reader.drop()
    ends.redis.xadd(ends.broadcast, {"n": "cccccccccc:1", "d": "1"})
    assert ends.read(1) == [1]


def test_own_broadcasts_are_not_read(ends: Ends) -> None:
    ends.start()
    ends.redis.xadd(ends.broadcast, {"n": "bbbbbbbbbb:1", "d": "1"})
    ends.send(3)
    assert ends.read(1) == [3]


@pytest.mark.parametrize("batch", [1, 40])
def test_repeated_publish_is_read_once(ends: Ends, batch: int) -> None:
    """Replies that were lost make the outbox send again; readers drop what they have seen."""
    ends.outbox = ends.make_outbox(flaky(ends.factory, lost_replies=2))
    ends.reader.open()
    ends.send(*range(batch))
    ThreadTasks().spawn(ends.outbox.run)
    wait_until(lambda: ends.sent.sent == batch, what="sent")
    ends.send(batch)
    assert ends.read(batch + 1) == list(range(batch + 1))
    assert ends.read_counters.duplicates == 2 * batch
    assert ends.sent.outages == 1


def test_reader_goes_on_where_it_stood_after_a_lost_connection(ends: Ends) -> None:
    ends.start()
    ends.send(0, 1)
    assert ends.read(2) == [0, 1]
    ends.reader.drop()
    ends.send(2, 3)
    wait_until(lambda: ends.sent.sent == 4, what="sent")
    assert ends.read(2) == [2, 3]


def test_streams_that_came_back_older_are_read_from_the_start(ends: Ends) -> None:
    """A clock that went back, or an emptied Redis: ids are smaller than the last one read."""
    ends.start()
    ends.send(0, 1)
    assert ends.read(2) == [0, 1]
    ends.redis.delete(ends.inbox, ends.broadcast)
    ends.redis.xadd(ends.inbox, {"n": "aaaaaaaaaa:3", "d": "2"}, id="5-1")
    ends.redis.xadd(ends.broadcast, {"n": "aaaaaaaaaa:4", "d": "3"}, id="6-1")
    ends.reader.drop()
    assert ends.read(2) == [2, 3]


def test_streams_that_lost_their_end_give_only_what_is_new(ends: Ends) -> None:
    """A failover lost the last entries: those that stayed were read before and are dropped."""
    ends.start()
    first = ends.redis.xadd(ends.broadcast, {"n": "cccccccccc:1", "d": "1"})
    ends.redis.xadd(ends.broadcast, {"n": "cccccccccc:2", "d": "3"})
    assert ends.read(2) == [1, 3]
    ends.redis.delete(ends.broadcast)
    ends.redis.xadd(ends.broadcast, {"n": "cccccccccc:1", "d": "1"}, id=first)
    ends.reader.drop()
    assert ends.read(1, 0.3) == []
    ends.redis.xadd(ends.broadcast, {"n": "cccccccccc:3", "d": "5"})
    assert ends.read(1) == [5]
    assert ends.read_counters.duplicates == 1


def test_lost_inbox_is_made_again_and_held_messages_arrive(ends: Ends) -> None:
    ends.start()
    ends.send(0)
    assert ends.read(1) == [0]
    ends.redis.delete(ends.inbox)
    ends.send(2, 4, 5, 6)
    wait_until(lambda: ends.redis.exists(ends.broadcast), what="the outbox tried")
    assert sorted(ends.read(4)) == [2, 4, 5, 6]
    assert 0 < ends.redis.ttl(ends.inbox) <= 60
    assert ends.sent.undeliverable == 0


def test_messages_to_a_gone_node_are_dropped_after_a_while(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are held for a moment, hold up nobody, and make no stream."""
    monkeypatch.setattr(outbox, "_HOLD_S", 0.2)
    ends.start()
    gone = ends.keys.inbox("zzzzzzzzzz")
    for _ in range(3):
        ends.outbox.put(gone, b"1", make=False)
    ends.send(0)
    assert ends.read(1) == [0]
    wait_until(lambda: ends.sent.undeliverable == 3, what="dropped")
    assert not ends.redis.exists(gone)
    assert ends.outbox.pending_bytes == 0


def test_inbox_of_another_type_refuses_its_messages_and_no_others(ends: Ends) -> None:
    ends.start()
    ends.redis.set(ends.keys.inbox("zzzzzzzzzz"), "what is this")
    for count in (1, 2):
        ends.outbox.put(ends.keys.inbox("zzzzzzzzzz"), b"1", make=False)
        ends.send(0)
        assert ends.read(1) == [0]
        wait_until(lambda n=count: ends.sent.undeliverable == n, what="counted")


def test_stream_keeps_its_cap(ends: Ends) -> None:
    ends.outbox = ends.make_outbox(ends.factory, cap=300)
    ends.start()
    ends.send(*range(0, 4000, 2))
    wait_until(lambda: ends.sent.sent == 2000, what="sent")
    assert 300 <= ends.redis.xlen(ends.inbox) <= 500


def test_ended_reader_leaves_no_inbox(ends: Ends) -> None:
    ends.start()
    assert ends.redis.exists(ends.inbox)
    ends.reader.end()
    assert not ends.redis.exists(ends.inbox)


def test_closed_outbox_has_sent_everything_and_takes_no_more(ends: Ends) -> None:
    ends.start()
    ends.send(*range(200))
    ends.outbox.close(5)
    assert ends.read(200) == list(range(200))
    with pytest.raises(errors.StoreUnavailable):
        ends.send(200)


def test_redis_out_of_memory_delays_messages_in_order(
    own_server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is taken as a whole or not at all, so nothing overtakes what was refused."""
    monkeypatch.setattr(streams, "RETRY_S", 0.05)
    ends = Ends(lambda **options: redis.Redis.from_url(own_server.url, **options), "oom").start()
    ends.redis.config_set("maxmemory", 1)
    ends.send(*range(100))
    wait_until(lambda: ends.sent.outages == 1, what="refused")
    ends.redis.config_set("maxmemory", 0)
    assert ends.read(100) == list(range(100))
    ends.close()
    ends.redis.close()


def test_redis_that_hangs_is_given_up_and_what_it_took_comes_once(
    own_server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped server answers nobody; it later does what it was sent, and so do the repeats."""
    monkeypatch.setattr(streams, "RETRY_S", 0.05)
    monkeypatch.setattr(streams, "BLOCK_MS", 100)
    monkeypatch.setattr(streams, "_SOCKET_TIMEOUT_S", 0.4)
    ends = Ends(lambda **options: redis.Redis.from_url(own_server.url, **options), "hang").start()
    ends.send(0)
    assert ends.read(1) == [0]
    own_server.pause()
    try:
        ends.send(*range(1, 51))
        wait_until(lambda: ends.sent.outages == 1, what="given up")
        with pytest.raises(streams.UNAVAILABLE):
            ends.reader.read()
        ends.reader.drop()
    finally:
        own_server.resume()
    assert ends.read(50) == list(range(1, 51))
    wait_until(lambda: ends.sent.sent == 51, what="the outbox knows")
    assert ends.read(1, 0.3) == []
    assert ends.read_counters.duplicates > 0
    ends.close()
    ends.redis.close()


@pytest.fixture
def manager(redis_factory: RedisFactory, key_prefix: str) -> Iterator[StreamManager]:
    one = StreamManager(redis_factory, Keys(key_prefix), "host-bbbbbbbbbb", ThreadTasks())
    one.initialize()
    yield one
    one.close()


def test_echo_comes_back(manager: StreamManager) -> None:
    assert manager.echo(5)
    assert manager.echo(5)


def test_echo_without_redis_is_false_and_fast(free_port: int) -> None:
    url = f"redis://127.0.0.1:{free_port}"
    manager = StreamManager(
        lambda **options: redis.Redis.from_url(url, **options),
        Keys("x"),
        "host-bbbbbbbbbb",
        ThreadTasks(),
    )
    manager.initialize()
    watch = Stopwatch()
    assert not manager.echo(0.1)
    assert watch.quiet_s < 3
    manager.close(0.1)


def test_topics_reach_their_handlers_and_a_failing_one_harms_nobody(
    manager: StreamManager, redis_factory: RedisFactory, key_prefix: str
) -> None:
    other = StreamManager(redis_factory, Keys(key_prefix), "b-cccccccccc", ThreadTasks())
    got: list[Any] = []
    manager.on("good", got.append)
    manager.on("bad", lambda data: 1 / 0)
    other.initialize()
    other.notify("host-bbbbbbbbbb", "bad", None)
    other.notify("host-bbbbbbbbbb", "unknown", None)
    other.notify("host-bbbbbbbbbb", "good", {"a": 1})
    manager.notify("host-bbbbbbbbbb", "good", "own")
    wait_until(lambda: len(got) == 2, what="told")
    assert {"a": 1} in got
    assert "own" in got
    other.close()


def test_closed_manager_leaves_no_inbox(
    manager: StreamManager, redis_factory: RedisFactory, key_prefix: str
) -> None:
    inbox = Keys(key_prefix).inbox("bbbbbbbbbb")
    assert redis_factory().exists(inbox)
    manager.close()
    assert not redis_factory().exists(inbox)
    with pytest.raises(errors.StoreUnavailable):
        manager.notify("b-cccccccccc", "late", None)
