"""A program that reads the changes of a fleet too slowly: bounded, in order, and it can see it."""

from __future__ import annotations

import asyncio
from typing import Any

from muster_client.changes import Change, Unread, latest


def samples(session_id: str, *rows: Any) -> Change:
    return Change("samples", session_id, samples=[[key, value, 1.0] for key, value in rows])


def read_all(unread: Unread) -> list[Change]:
    async def read() -> list[Change]:
        unread.end()
        found = []
        while (change := await unread.get()) is not None:
            found.append(change)
        return found

    return asyncio.run(read())


def test_reader_that_keeps_up_gets_every_change_as_it_came() -> None:
    unread = Unread(10)
    given = [samples("a", ("n", n)) for n in range(10)]
    for change in given:
        unread.put(change)
    assert read_all(unread) == given


def test_slow_reader_gets_the_latest_of_each_and_sees_what_was_left_out() -> None:
    unread = Unread(4)
    for n in range(1000):
        unread.put(samples("a", ("n", n), ("m", -n)))
        unread.put(samples("b", ("n", n)))
        unread.put(Change("changed", "a", summary={"rev": n}))  # type: ignore[typeddict-item]
    found = read_all(unread)
    assert len(found) <= 12
    assert [c for c in found if c.session_id == "b"][-1].samples[-1][1] == 999
    assert any(c.is_conflated for c in found)
    values = [row[1] for c in found for row in c.samples if c.session_id == "a" and row[0] == "n"]
    assert values == sorted(set(values))
    assert values[-1] == 999


def test_what_is_left_out_is_only_what_a_later_change_has_overtaken() -> None:
    queued = Change("command", "a", details={"command_id": "1", "status": "queued"})
    done = Change("command", "a", details={"command_id": "1", "status": "succeeded"})
    other = Change("command", "a", details={"command_id": "2", "status": "queued"})
    removed, back = Change("removed", "a"), Change("changed", "a")
    offline, live = Change("state", state="offline"), Change("state", state="live")
    given = [queued, samples("a", ("n", 1)), removed, offline, other, done, back, live]
    assert latest(given) == [samples("a", ("n", 1)), other, done, back, live]


def test_samples_of_different_keys_are_merged_without_a_loss() -> None:
    (one,) = latest([samples("a", ("n", 1)), samples("a", ("m", 2))])
    assert [row[:2] for row in one.samples] == [["n", 1], ["m", 2]]
    assert not one.is_conflated


def test_fleet_larger_than_the_bound_costs_no_merge_for_each_change(monkeypatch: Any) -> None:
    """Otherwise a slow reader of a large fleet would cost the square of it."""
    merges = []

    def counted(changes: Any) -> list[Change]:
        merges.append(1)
        return latest(changes)

    monkeypatch.setattr("muster_client.changes.latest", counted)
    unread = Unread(10)
    for _ in range(3):
        for n in range(1000):
            unread.put(Change("changed", str(n)))
    assert len(merges) < 20
    assert {change.session_id for change in read_all(unread)} == {str(n) for n in range(1000)}


def test_what_a_slow_reader_lost_once_costs_it_nothing_later() -> None:
    """The bound is of what waits now, not of what was read or left out before."""

    async def read() -> list[int]:
        unread, found = Unread(4), []
        for n in range(20):
            unread.put(samples("a", ("n", n)))
            if n:
                change = await unread.get()
                assert change is not None
                found.append(change.samples[0][1])
        return found

    assert asyncio.run(read()) == list(range(19))
    unread = Unread(10)
    for n in range(11):
        unread.put(samples("a", ("n", n)))
    for n in range(5):
        unread.put(samples("a", ("n", n)))
    assert len(read_all(unread)) == 6


def test_bound_is_as_before_once_all_was_read() -> None:
    async def read() -> Unread:
        unread = Unread(10)
        for n in range(50):
            unread.put(samples(f"session {n}", ("n", n)))
        for _ in range(50):
            await unread.get()
        return unread

    unread = asyncio.run(read())
    for n in range(11):
        unread.put(samples("a", ("n", n)))
    assert len(read_all(unread)) == 1


def test_samples_of_which_some_were_left_out_stay_marked() -> None:
    (marked,) = latest([samples("a", ("n", 1)), samples("a", ("n", 2))])
    (merged,) = latest([marked, samples("a", ("m", 3))])
    assert marked.is_conflated
    assert merged.is_conflated
