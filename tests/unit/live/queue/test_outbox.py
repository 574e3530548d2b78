"""What waits in a node's outbox: bounded, in order, and not kept for who is gone; Redis is a fake one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest

from service import errors
from service.live.queue import outbox as module
from service.live.queue.outbox import Outbox
from service.live.queue.streams import QueueCounters

MINE, ALL = "inbox", "broadcast"


class Tasks:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def event(self) -> Any:
        return SimpleNamespace(
            set=lambda: None, clear=lambda: None, wait=lambda timeout=None: self.sleep(timeout or 0)
        )


class Bench:
    def __init__(self, max_bytes: int = 16 << 20) -> None:
        self.tasks = Tasks()
        self.counters = QueueCounters()
        self.redis: Any = fakeredis.FakeRedis(server=fakeredis.FakeServer(version=(7, 2)))
        self.outbox = Outbox(
            lambda **_: self.redis,
            self.tasks,  # type: ignore[arg-type]
            "me",
            cap=10_000,
            max_bytes=max_bytes,
            counters=self.counters,
        )

    def put(self, *bodies: str, stream: str = MINE) -> None:
        for body in bodies:
            self.outbox.put(stream, body.encode(), make=stream == ALL)

    def turns(self, count: int = 3) -> None:
        for _ in range(count):
            self.outbox._turn()

    def arrived(self, stream: str = MINE) -> list[str]:
        return [fields[b"d"].decode() for _, fields in self.redis.xrange(stream)]

    def make_inbox(self) -> None:
        self.redis.xadd(MINE, {"n": "x:0", "d": "greeting"})


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: bench.tasks.now))
    return bench


def test_outbox_takes_as_much_as_it_may_and_no_more() -> None:
    """And again when Redis has taken some of it."""
    bench = Bench(max_bytes=3 * 300)
    bench.put(*["x" * 100] * 3, stream=ALL)
    with pytest.raises(errors.StoreUnavailable):
        bench.put("y", stream=ALL)
    bench.turns(1)
    assert bench.outbox.pending_bytes == 0
    bench.put(*["x" * 100] * 3, stream=ALL)


def test_one_transaction_takes_a_bounded_number_of_messages(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    send = bench.outbox._send

    def counting(batch: list[Any]) -> list[Any]:
        sizes.append(len(batch))
        return send(batch)

    monkeypatch.setattr(bench.outbox, "_send", counting)
    bodies = [str(number) for number in range(1_203)]
    bench.put(*bodies, stream=ALL)
    bench.turns()
    assert sizes == [500, 500, 203]
    assert bench.arrived(ALL) == bodies


def test_messages_to_an_inbox_that_comes_late_arrive_in_their_order(bench: Bench) -> None:
    bench.put("1", "2")
    bench.turns(2)
    bench.put("3")
    bench.turns(2)
    assert bench.counters.undeliverable == 0
    bench.make_inbox()
    bench.put("4")
    bench.turns()
    assert bench.arrived() == ["greeting", "1", "2", "3", "4"]
    assert bench.outbox.pending_bytes == 0


def test_messages_to_a_node_that_is_gone_are_dropped_and_counted_after_a_while(
    bench: Bench,
) -> None:
    bench.put("1", "2")
    bench.turns()
    assert bench.counters.undeliverable == 0
    bench.tasks.sleep(11)
    bench.turns()
    assert bench.counters.undeliverable == 2
    bench.make_inbox()
    bench.put("3")
    bench.turns()
    assert bench.arrived() == ["greeting", "3"]


def test_what_is_held_for_nodes_that_are_gone_is_bounded_and_holds_up_no_other(
    bench: Bench,
) -> None:
    for _ in range(6):
        bench.put("x" * 1_000_000)
        bench.turns(1)
    bench.put("to all", stream=ALL)
    bench.turns(1)
    assert bench.arrived(ALL) == ["to all"]
    assert bench.counters.undeliverable == 2
    assert bench.outbox._held_bytes <= 4 << 20
    bench.tasks.sleep(11)
    bench.turns()
    assert bench.outbox._held_bytes == 0


def test_messages_wait_while_redis_is_away_and_leave_in_their_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 5
    send = bench.outbox._send

    def away(batch: list[Any]) -> list[Any]:
        nonlocal failures
        if failures:
            failures -= 1
            raise module.streams.UNAVAILABLE[0]("away")
        return send(batch)

    monkeypatch.setattr(bench.outbox, "_send", away)
    bench.put("1", "2", stream=ALL)
    bench.turns(1)
    bench.put("3", stream=ALL)
    bench.turns(2)
    assert bench.arrived(ALL) == ["1", "2", "3"]
    assert (bench.counters.outages, bench.counters.sent, bench.outbox.pending_bytes) == (1, 3, 0)


def test_messages_that_cannot_be_sent_for_good_end_nothing(bench: Bench) -> None:
    """They are counted, and the next ones leave."""
    send, failures = bench.outbox._send, [ValueError("what nobody thought of")]

    def fails_once(batch: Any) -> Any:
        if failures:
            raise failures.pop()
        return send(batch)

    bench.outbox._send = fails_once  # type: ignore[method-assign]
    bench.put("a", "b", stream=ALL)
    bench.turns(1)
    bench.put("c", stream=ALL)
    bench.turns(1)
    assert bench.arrived(ALL) == ["c"]
    assert (bench.counters.undeliverable, bench.counters.sent) == (2, 1)
    assert bench.outbox.pending_bytes == 0
