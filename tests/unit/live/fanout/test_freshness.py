"""Dashboards are told that what they were sent is not current, whatever keeps it from them, and when it is again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from service import errors
from service.live.fanout.freshness import LOOK_EVERY_S, STALE_S
from service.live.feed.feed import Chunk
from service.live.feed.scope import Scope
from tests.support.nodes.live_fakes import FakeFeed, Node, SimulatedTasks, data, samples_of

#: Within this a dashboard is told.
BOUND_S = STALE_S + LOOK_EVERY_S
#: What the reader needs to come back.
BACK_S = 3.0


def told(node: Node, sid: str) -> list[bool]:
    return [payload["stale"] for name, payload in node.events(sid) if name == "feed_state"]


def test_dashboards_of_a_node_that_reads_are_told_nothing(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    """Whether much happens or nothing, and however rarely they want to be sent it."""
    node.watch("a", batch=True)
    node.watch("rarely", batch=True, interval_ms=20_000)
    tasks.run(10)
    for number in range(1, 400):
        feed.add(0, data(("x", number, [["k", number, 1]])))
        tasks.run(0.1)
    assert (told(node, "a"), told(node, "rarely")) == ([], [])


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
def test_redis_that_is_away_is_told_in_time_and_once(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node, hangs: bool
) -> None:
    """A read that fails and one that never returns are the same; and afterwards what was missed comes first."""
    node.watch("a", batch=True)
    node.watch("rarely", batch=True, interval_ms=60_000)
    tasks.run(0.5)
    feed.add(0, data(("x", 1, [["k", "before", 1]])))
    tasks.run(0.5)
    feed.hangs, feed.is_away = hangs, not hangs
    feed.add(0, data(("x", 2, [["k", "missed", 2]])))
    tasks.run(BOUND_S)
    for sid in ("a", "rarely"):
        assert told(node, sid) == [True]
        assert STALE_S <= node.events(sid)[-1][1]["behind_s"] <= BOUND_S + 0.3
    tasks.run(20)
    assert told(node, "a") == [True]
    assert node.fanout.lag_s > 20, "and so it is in the metrics"
    feed.hangs = feed.is_away = False
    tasks.run(BACK_S)
    assert told(node, "rarely") == [True], "it has not been sent what it missed"
    tasks.run(60)
    for sid in ("a", "rarely"):
        assert told(node, sid) == [True, False]
        names = node.names(sid)[::-1]
        assert names.index("feed_state") < names.index("session_data_updates"), (
            "what was missed first"
        )
        values = [sample[1] for _, sample in samples_of(node.events(sid))]
        assert values == ["before", "missed"]


def test_reader_that_returns_and_is_never_at_the_end_is_no_proof(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More is written than it can read: a hundred entries a second, of which it gets thirty."""
    read = node.fanout._reader.read

    def slowly(after: Mapping[int, int], block_s: float) -> list[Chunk]:
        tasks.sleep(0.1)
        return read(after, block_s)

    monkeypatch.setattr(node.fanout._reader, "read", slowly)
    node.watch("a", batch=True)
    tasks.run(1)
    for number in range(1, 600):
        feed.add(0, data(("x", number, [["k", number, 1]])))
        tasks.run(0.01)
    assert told(node, "a") == [True]
    tasks.run(30)
    assert told(node, "a") == [True, False]


def test_reader_that_follows_closely_is_current_although_more_is_always_there(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its read and the look at the end another node writes: each time."""
    reader = node.fanout._reader
    read, count = reader.read, iter(range(1, 10_000))

    def reading(after: Mapping[int, int], block_s: float) -> list[Chunk]:
        [chunk] = read(after, 0.001)
        last = feed.add(0, data(("x", 1, [["k", next(count), 1]])))
        return [Chunk(0, chunk.epoch, chunk.entries, last)]

    monkeypatch.setattr(reader, "read", reading)
    node.watch("a", batch=True)
    tasks.run(10)
    assert node.fanout.lag_entries > 0
    assert (told(node, "a"), node.fanout.lag_s) == ([], 0)


def test_only_dashboards_of_the_feed_that_does_not_come_are_told(tasks: SimulatedTasks) -> None:
    feed = FakeFeed(tasks, partitions=3)
    node = Node(tasks, feed)
    names = {feed.keys.partition(name): name for name in (f"s{n}" for n in range(50))}
    for partition, name in names.items():
        node.watch(f"of {partition}", Scope.sessions([name]), batch=True)
    node.watch("all", batch=True)
    read = node.fanout._reader.read

    def reading(after: Mapping[int, int], block_s: float) -> list[Chunk]:
        tasks.sleep(0.05)
        chunks = read(after, block_s)
        return [Chunk(2, one.epoch, [], one.head) if one.partition == 2 else one for one in chunks]

    node.fanout._reader.read = reading  # type: ignore[method-assign, assignment]
    tasks.run(1)
    feed.add(2, data((names[2], 1, [["k", 1, 1]])))
    tasks.run(2 * BOUND_S)
    assert [told(node, sid) for sid in ("of 0", "of 1", "of 2", "all")] == [[], [], [True], [True]]


def test_newcomer_that_cannot_catch_up_is_told_and_the_others_are_not(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = feed.head([0])
    for number in range(1, 10):
        feed.add(0, data(("x", number, [["k", number, 1]])))
    node.watch("live", batch=True)
    tasks.run(0.2)
    read = feed.read_range

    def failing(spans: Any) -> Any:
        tasks.give_way()
        raise errors.StoreUnavailable

    monkeypatch.setattr(feed, "read_range", failing)
    node.watch("late", batch=True, start=start)
    tasks.run(BOUND_S)
    assert (told(node, "live"), told(node, "late")) == ([], [True])
    monkeypatch.setattr(feed, "read_range", read)
    tasks.run(BACK_S)
    assert told(node, "late") == [True, False]
    assert [sample[1] for _, sample in samples_of(node.events("late"))] == list(range(1, 10))


def test_who_comes_meanwhile_is_told_by_the_answer_and_then_only_of_the_end(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    node.watch("a", batch=True)
    tasks.run(1)
    assert node.fanout.behind_s(Scope()) is None
    feed.is_away = True
    tasks.run(BOUND_S)
    behind_s = node.fanout.behind_s(Scope())
    assert behind_s is not None
    assert behind_s >= STALE_S
    node.watch("b", batch=True, is_stale=True)
    tasks.run(10)
    assert told(node, "b") == []
    feed.is_away = False
    tasks.run(BACK_S)
    assert (told(node, "a"), told(node, "b")) == ([True, False], [False])
    assert node.fanout.behind_s(Scope()) is None


def test_log_says_it_once_for_all_dashboards(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        node.watch(f"w{number}", batch=True, interval_ms=50 + number)
    tasks.run(1)
    with caplog.at_level(logging.INFO, "service.live.fanout.freshness"):
        feed.is_away = True
        tasks.run(20)
        feed.is_away = False
        tasks.run(BACK_S)
    said = [one.__dict__["action"] for one in caplog.records]
    assert said == ["dashboards_stale", "dashboards_current"]
