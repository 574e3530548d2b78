"""Dashboards that are served in several turns: slow ones with much to catch up, and quiet ones."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from service.live.fanout.conflation import TAKEN_BYTES
from service.live.fanout.groups import CURSOR_EVERY_S, HOPELESS_BYTES, KEPT_BYTES
from service.live.feed.feed import Chunk
from service.live.feed.scope import Scope
from tests.support.nodes.live_fakes import (
    FakeFeed,
    Node,
    SimulatedTasks,
    command,
    data,
    samples_of,
    state,
)

SLOW = 1100 * 1024


def fall_behind(tasks: SimulatedTasks, feed: FakeFeed, node: Node, sessions: int) -> list[str]:
    """The slow dashboard misses 60 kB of each of so many sessions; their names."""
    node.sockets.backlogs["slow"] = SLOW
    names = [f"s{number}" for number in range(sessions)]
    for number, name in enumerate(names, 1):
        feed.add(0, data((name, number, [["k", "x" * 60_000, number]])))
        feed.add(0, state(name, number + 1))
        feed.add(0, command(name, f"c{number}", "queued"))
    tasks.run(0.5)
    return names


def test_slow_dashboard_that_takes_several_turns_gets_all_of_it_once_and_goes_on(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    """It is not counted as caught up before the last of what was kept is sent."""
    node.watch("slow", batch=True)
    tasks.run(0.2)
    names = fall_behind(tasks, feed, node, 20)
    assert 4 * TAKEN_BYTES < 20 * 60_000
    node.sockets.backlogs["slow"] = 0
    tasks.run(3)
    events = node.events("slow")
    assert sorted(session for session, _ in samples_of(events)) == sorted(names)
    assert {p["command_id"] for n, p in events if n == "command_update"} == {
        f"c{number}" for number in range(1, 21)
    }
    assert node.fanout.figures()["conflated"] == 0
    first = len(events)
    feed.add(0, data(("s0", 99, [["k", "new", 1]])))
    tasks.run(0.2)
    [(_, after)] = node.sockets.events("slow", first)
    assert "conflated" not in after


def test_every_cursor_of_a_slow_dashboard_resumes_all_that_was_not_sent_before_it(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    """Between two turns, too: the last word about each session is in what was sent, or comes again."""
    node.watch("slow", batch=True)
    tasks.run(0.2)
    names = set(fall_behind(tasks, feed, node, 15))
    node.sockets.backlogs["slow"] = 0
    tasks.run(3)
    events = node.events("slow")
    for place, (_, payload) in enumerate(events):
        if not payload.get("cursor"):
            continue
        position = feed.decode_cursor(Scope(), payload["cursor"])
        assert position is not None
        sent = events[: place + 1]
        comes = [fields for number, fields in feed.entries[0] if number > position.offsets[0]]
        told = {session for session, _ in samples_of(sent)}
        told |= {fields[2].decode().rpartition("|")[2] for fields in comes if fields[0] == b"data"}
        assert names <= told, place
        shown = {one["session_id"] for _, p in sent for one in p.get("changed", ())}
        shown |= {fields[1].decode() for fields in comes if fields[0] == b"state"}
        assert names <= shown, place
    last = feed.decode_cursor(Scope(), [p["cursor"] for _, p in events if p.get("cursor")][-1])
    assert last is not None
    assert last.offsets == {0: feed.last[0]}


def test_removals_alone_reach_a_slow_dashboard(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    node.watch("slow", batch=True)
    tasks.run(0.2)
    node.sockets.backlogs["slow"] = SLOW
    feed.add(0, ["removed", "gone", "project_id", ""])
    tasks.run(0.2)
    node.sockets.backlogs["slow"] = 0
    tasks.run(0.5)
    assert node.events("slow")[0][1]["removed"] == ["gone"]
    assert node.fanout.figures()["conflated"] == 0


def test_slow_dashboard_that_stops_reading_is_closed_although_nothing_happens(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    node.watch("slow", batch=True)
    tasks.run(0.2)
    fall_behind(tasks, feed, node, 1)
    assert node.sockets.closed == {}
    node.sockets.backlogs["slow"] = HOPELESS_BYTES + 1
    tasks.run(0.2)
    assert node.sockets.closed == {"slow": "slow_client"}


def test_quiet_dashboard_gets_a_cursor_within_ten_seconds(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    """Entries that do not concern it move its cursor all the same: it can resume for as long as it stays."""
    node.watch("a", Scope.parse({"sessions": ["mine"]}), batch=True)
    tasks.run(0.2)
    times = []
    for number in range(1, 400):
        feed.add(0, data(("other", number, [["k", number, 1]])))
        before = len(node.events("a"))
        tasks.run(0.1)
        if len(node.events("a")) > before:
            times.append(tasks.now)
    assert len(times) >= 40 / (2 * CURSOR_EVERY_S)
    cursor = node.events("a")[-1][1]["cursor"]
    position = feed.decode_cursor(Scope.parse({"sessions": ["mine"]}), cursor)
    assert position is not None
    assert position.offsets[0] >= feed.last[0] - 10 * CURSOR_EVERY_S - 5


def test_outage_while_a_newcomer_catches_up_costs_it_nothing(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    start = feed.head([0])
    for number in range(1, 30):
        feed.add(0, data(("x", number, [["k", number, 1]])))
    node.watch("live", batch=True)
    tasks.run(0.2)
    node.watch("late", batch=True, start=start)
    tasks.step()
    feed.is_away = True
    tasks.run(3)
    feed.is_away = False
    tasks.run(4)
    assert [sample[1] for _, sample in samples_of(node.events("late"))] == list(range(1, 30))
    assert "resync" not in node.names("late")


def test_gap_in_the_middle_of_a_page_is_told_to_who_catches_up(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    start = feed.head([0])
    for number in range(1, 10):
        feed.add(0, data(("x", number, [["k", number, 1]])))
    node.watch("live", batch=True)
    tasks.run(0.2)
    del feed.entries[0][4]
    node.watch("late", batch=True, start=start)
    tasks.run(1)
    assert node.names("late")[-1] == "resync"
    assert [sample[1] for _, sample in samples_of(node.events("late"))] == [1, 2, 3]


def test_catch_up_that_stays_slow_is_closed_when_too_much_is_kept_for_it(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not when it has kept all that there is."""
    start = feed.head([0])
    for number in range(1, 600):
        feed.add(0, data((f"s{number}", 1, [["k", "x" * 60_000, 1]])))
    places: list[int] = []
    read = feed.read_range

    def reading(spans: Mapping[int, tuple[int, int]]) -> list[Chunk]:
        places.append(spans[0][0])
        return read(spans)

    monkeypatch.setattr(feed, "read_range", reading)
    node.watch("late", batch=True, start=start)
    node.sockets.backlogs["late"] = SLOW
    tasks.run(20)
    assert node.sockets.closed == {"late": "slow_client"}
    assert max(places) * 60_000 <= 1.1 * KEPT_BYTES


def test_counts_are_read_again_for_every_summary(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    node.watch("a", batch=True)
    tasks.run(0.2)
    for active in (5, 6):
        node.counts.now = {"active": active, "inactive": 0, "archived": 0}
        feed.add(0, state("x", active))
        tasks.run(0.3)
        assert node.events("a")[-1][1]["counts"]["active"] == active


def test_counts_are_not_read_for_what_leaves_them_as_they_are(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    """But for a change that is sent with it, and where they are not known."""
    node.watch("a", batch=True)
    tasks.run(0.2)
    same = [*state("x", 2), "counts", "same"]
    seen = []
    for active, changes in (
        (5, [same]),
        (6, [same]),
        (7, [state("x", 1), same]),
        (8, [same]),
        (9, [["removed", "x", "project_id", ""], same]),
    ):
        node.counts.now = {"active": active, "inactive": 0, "archived": 0}
        for change in changes:
            feed.add(0, change)
        tasks.run(0.3)
        [changed] = [one["changed"] for _, one in node.events("a")[-1:]]
        assert changed[0]["rev"] == 2
        assert "counts" not in changed[0]
        seen.append(node.events("a")[-1][1]["counts"]["active"])
    assert seen == [5, 5, 7, 7, 9]
    tasks.run(6)
    feed.add(0, same)
    node.counts.now = {"active": 10, "inactive": 0, "archived": 0}
    tasks.run(0.3)
    assert node.events("a")[-1][1]["counts"]["active"] == 10


def test_group_that_cannot_be_sent_to_holds_up_no_other(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    """Whichever of them comes first."""
    node.watch("one by one")
    node.watch("batches", batch=True)
    node.watch("one by one, rarely", interval_ms=100)
    tasks.run(0.3)
    feed.add(0, ["data", "1", "1||x", b"broken"])
    tasks.run(0.5)
    assert node.events("one by one") == [("resync", {"reason": "unreadable"})]
    assert node.events("one by one, rarely") == [("resync", {"reason": "unreadable"})]
    feed.add(0, data(("x", 2, [["k", 2, 1]])))
    tasks.run(0.3)
    assert samples_of(node.sockets.events("batches", 1)) == [("x", ["k", 2, 1])]


def test_very_much_does_not_wait_for_the_interval(
    tasks: SimulatedTasks, feed: FakeFeed, node: Node
) -> None:
    """What waits takes memory, and would be a burst."""
    node.watch("a", batch=True, interval_ms=30_000)
    tasks.run(0.2)
    feed.add(0, data(("x", 1, [["k", 0, 1]])))
    tasks.run(1)
    first = len(node.events("a"))
    feed.add(0, data(("x", 2, [["k", 1, 1]])))
    tasks.run(1)
    assert len(node.events("a")) == first
    for number in range(3, 13):
        feed.add(0, data((f"s{number}", number, [["k", "x" * 60_000, 1]])))
    tasks.run(1)
    assert len(samples_of(node.sockets.events("a", first))) >= 10
