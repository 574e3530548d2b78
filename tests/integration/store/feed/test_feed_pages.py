"""Pages of a feed: as large as they may be, whole or known to be lost, and never from a connection that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from service import errors
from service.live.feed.feed import PAGE_BYTES, Feed
from service.live.feed.position import FeedLost
from service.redis_access.clients import redis_factory
from service.sessions.store.keys import Keys


class Bench:
    """A feed of one partition, with entries of any size."""

    def __init__(self, url: str, prefix: str) -> None:
        factory = redis_factory(url)
        self.keys = Keys(prefix, 1)
        self.client: redis.Redis = factory()
        store: Any = None  # nobody asks for epochs
        self.feed = Feed(factory, self.keys, store)
        self.last = 0
        self.client.hset(self.keys.epoch(0), "epoch", "e1")

    def add(self, count: int, size: int) -> None:
        with self.client.pipeline(transaction=False) as pipe:
            for _ in range(count):
                self.last += 1
                pipe.xadd(self.keys.feed(0), {"data": "x" * size}, id=f"{self.last}-0")
            pipe.hset(self.keys.epoch(0), "last", self.last)
            pipe.execute()

    def page(self, after: int) -> list[int]:
        [chunk] = self.feed.read_range({0: (after, self.last)})
        chunk.check("e1", after)
        return [number for number, _ in chunk.entries]


@pytest.fixture
def bench(redis_url: str, key_prefix: str) -> Iterator[Bench]:
    made = Bench(redis_url, key_prefix)
    yield made
    made.feed.close()
    made.client.close()


@pytest.mark.parametrize("size", [1_000, 20_000])
def test_pages_are_as_large_as_they_may_be_whatever_entries_hold(bench: Bench, size: int) -> None:
    bench.add(400, size)
    after, sizes = 0, []
    while len(sizes) < 12 and after < bench.last:
        page = bench.page(after)
        after = page[-1]
        sizes.append(len(page) * size)
    assert PAGE_BYTES / 2 < sizes[-1 if len(sizes) == 12 else -2] < 2 * PAGE_BYTES, sizes


def test_page_that_is_gone_is_a_loss(bench: Bench) -> None:
    bench.add(10, 10)
    bench.client.xtrim(bench.keys.feed(0), maxlen=0, approximate=False)
    with pytest.raises(FeedLost) as lost:
        bench.page(0)
    assert lost.value.reason == "feed_trimmed"
    bench.client.delete(bench.keys.epoch(0))
    with pytest.raises(FeedLost) as lost:
        bench.page(0)
    assert lost.value.reason == "epoch_changed"


def test_page_of_another_epoch_or_with_a_hole_is_a_loss(bench: Bench) -> None:
    bench.add(10, 10)
    [chunk] = bench.feed.read_range({0: (0, 10)})
    chunk.check("e1", 0)
    for epoch, after, reason in (("e0", 0, "epoch_changed"), ("e1", 1, "feed_trimmed")):
        with pytest.raises(FeedLost) as lost:
            chunk.check(epoch, after)
        assert lost.value.reason == reason


def test_reader_knows_whether_there_is_more(bench: Bench) -> None:
    bench.add(600, 5_000)
    reader = bench.feed.reader()
    reader.connect()
    try:
        after, more = 0, []
        while after < bench.last:
            [chunk] = reader.read({0: after}, 0.01)
            after = chunk.entries[-1][0]
            more.append(reader.has_more)
        assert more[0]
        assert reader.read({0: after}, 0.01)[0].entries == []
        assert not reader.has_more
    finally:
        reader.close()


def test_reader_whose_connection_failed_reads_nothing_until_it_has_another(
    bench: Bench, redis_factory: Callable[..., redis.Redis]
) -> None:
    """A reply that comes late would be taken for that of the next request."""
    bench.add(1, 10)
    reader = bench.feed.reader()
    reader.connect()
    connection = reader._connection
    send = connection.send_packed_command

    def half(command: Any) -> None:
        send(command)
        raise redis.TimeoutError

    connection.send_packed_command = half
    with pytest.raises(errors.StoreUnavailable):
        reader.read({0: 0}, 0.01)
    assert not reader.is_connected
    with pytest.raises(errors.StoreUnavailable):
        reader.read({0: 0}, 0.01)
    reader.connect()
    assert len(reader.read({0: 0}, 0.01)[0].entries) == 1
    reader.close()
