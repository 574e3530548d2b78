"""What a node reads of the message queue, over losses of Redis; Redis is a fake one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
import redis

from service.live.queue import reader as module
from service.live.queue import streams
from service.live.queue.reader import StreamReader
from service.live.queue.streams import QueueCounters

ALL, MINE, ME = "mq", "mq:me", "me"


class Bench:
    """One node's reader, whose clock the test moves, and who writes to it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.server = fakeredis.FakeServer(version=(7, 2))
        self.client: Any = fakeredis.FakeRedis(server=self.server)
        self.counters = QueueCounters()
        self.numbers = itertools.count(1)

    def reader(self) -> StreamReader:
        return StreamReader(self._connect, ALL, MINE, ME, inbox_ttl_s=900, counters=self.counters)

    def _connect(self, **_: Any) -> Any:
        return fakeredis.FakeRedis(server=self.server, protocol=2)

    def say(self, *bodies: str, stream: str = ALL, by: str = "peer", at: str = "*") -> None:
        for body in bodies:
            fields = {"n": f"{by}:{next(self.numbers)}", "d": body}
            self.client.xadd(stream, fields, id=at)


def away(*_: Any, **__: Any) -> Any:
    raise redis.ConnectionError


def read(reader: StreamReader) -> list[str]:
    """What comes, without the greeting that an inbox begins with."""
    return [entry.body.decode() for entry in reader.read() if entry.number]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: bench.now))
    monkeypatch.setattr(streams, "BLOCK_MS", 1)  # nobody writes while it waits
    return bench


@pytest.fixture
def reader(bench: Bench) -> Iterator[StreamReader]:
    bench.say("before its time", by="former")
    made = bench.reader()
    made.open()
    yield made
    made.end()


def test_each_message_comes_once_and_its_own_not_at_all(bench: Bench, reader: StreamReader) -> None:
    bench.say("a", stream=MINE)
    bench.say("its own", by=ME)
    for _ in range(2):  # its reply was lost, so it was sent again
        bench.client.xadd(ALL, {"n": "peer:7000", "d": "b"})
    assert sorted(read(reader)) == ["a", "b"]
    assert bench.counters.duplicates == 1
    assert read(reader) == []
    bench.say("its own, to itself", stream=MINE, by=ME)
    assert read(reader) == ["its own, to itself"]


def test_what_is_no_message_is_counted_and_passed_over(bench: Bench, reader: StreamReader) -> None:
    bench.client.xadd(ALL, {"n": "no number", "d": "x"})
    bench.client.xadd(ALL, {"other": "fields"})
    bench.say("a")
    assert read(reader) == ["a"]
    assert bench.counters.bad == 2


def test_inbox_that_is_gone_is_made_again_within_a_second(
    bench: Bench, reader: StreamReader
) -> None:
    """Redis was emptied, and no connection was lost."""
    bench.client.flushall()
    bench.now += 0.11
    assert read(reader) == []  # it waits, and sees that the inbox is gone
    assert read(reader) == []  # it makes it before it waits again
    assert 0 < bench.client.ttl(MINE) <= 900
    bench.say("a", stream=MINE)
    bench.say("b")
    assert read(reader) == ["a", "b"]


@pytest.mark.parametrize("is_written_before", [False, True])
@pytest.mark.parametrize("stream", [ALL, MINE])
def test_stream_that_came_back_older_is_read_again_without_repeats(
    bench: Bench, reader: StreamReader, stream: str, is_written_before: bool
) -> None:
    """A replica that was behind took over: what is sent from then on has lower ids than were read.

    Also where others were back before this node, and by the clock of the new primary some of it is later.
    """
    last = int(bench.client.xrevrange(ALL, count=1)[0][0].split(b"-")[0]) + 1_000
    bench.say("kept", stream=stream, at=f"{last}-0")
    bench.say("lost", stream=stream, at=f"{last + 1_000}-0")
    assert read(reader) == ["kept", "lost"]
    rows = bench.client.xrange(stream)[:-1]
    bench.client.delete(stream)
    for entry_id, fields in rows:
        bench.client.xadd(stream, fields, id=entry_id)
    reader.drop()
    bench.client.expire(MINE, 900)
    if is_written_before:
        bench.say("new", stream=stream, at=f"{last + 500}-0")
        bench.say("newer", stream=stream, at=f"{last + 1_500}-0")
        reader.open()
    else:
        reader.open()
        bench.say("new", "newer", stream=stream, at=f"{last + 500}-*")
    assert read(reader) == ["new", "newer"]


def test_broadcasts_from_before_its_time_are_not_acted_on_after_a_loss(
    bench: Bench, reader: StreamReader
) -> None:
    rows = bench.client.xrange(ALL)
    at = int(rows[-1][0].split(b"-")[0]) + 1_000
    bench.say("lost", at=f"{at}-0")
    assert read(reader) == ["lost"]
    bench.client.delete(ALL)
    for entry_id, fields in rows:  # as it was when this node began
        bench.client.xadd(ALL, fields, id=entry_id)
    reader.drop()
    reader.open()
    assert read(reader) == []


def test_node_that_began_without_redis_reads_what_was_sent_since(bench: Bench) -> None:
    reader, connect = bench.reader(), bench._connect

    reader._factory = away
    with pytest.raises(redis.ConnectionError):
        reader.open()
    bench.now += 30
    now_ms = 1000 * int(bench.client.time()[0])
    bench.say("long before", at=f"{now_ms - 40_000}-0")
    bench.say("since", at=f"{now_ms - 10_000}-0")
    reader._factory = connect
    assert read(reader) == ["since"]
    reader.end()


def test_order_across_both_streams_holds_where_a_reply_is_cut_short(
    bench: Bench, reader: StreamReader
) -> None:
    """The rest of the broadcasts belongs before what the inbox has."""
    at = int(bench.client.xrevrange(ALL, count=1)[0][0].split(b"-")[0]) + 1_000
    wanted = [f"b{i}" for i in range(700)]
    for i, body in enumerate(wanted):
        bench.say(body, at=f"{at + i}-0")
    bench.say("last", stream=MINE, at=f"{at + 700}-0")
    found: list[str] = []
    while more := read(reader):
        found += more
    assert found == [*wanted, "last"]


def test_what_was_read_as_the_inbox_was_missed_is_not_lost_with_redis(
    bench: Bench, reader: StreamReader
) -> None:
    """To make the inbox again may fail; the messages next to that are not read a second time."""
    bench.client.delete(MINE)
    bench.say("a")
    bench.now += 0.11
    connections = reader._connections
    assert connections is not None
    call = connections.call
    connections.call = away  # type: ignore[method-assign]
    assert read(reader) == ["a"]
    with pytest.raises(redis.ConnectionError):
        reader.read()
    connections.call = call  # type: ignore[method-assign]
    bench.say("b")
    assert read(reader) == ["b"]
    assert bench.client.exists(MINE)


def test_inbox_is_looked_at_in_the_round_trip_that_waits(
    bench: Bench, reader: StreamReader
) -> None:
    connections = reader._connections
    assert connections is not None
    asked: list[int] = []
    ask = connections.ask
    connections.ask = lambda commands: asked.append(len(commands)) or ask(commands)  # type: ignore[method-assign,func-returns-value]
    for _ in range(3):
        bench.now += 1
        reader.read()
    reader.read()  # a busy one looks ten times a second
    assert asked == [2, 2, 2, 1]


def test_end_leaves_no_inbox(bench: Bench) -> None:
    reader = bench.reader()
    reader.open()
    assert bench.client.exists(MINE)
    reader.end()
    assert not bench.client.exists(MINE)
