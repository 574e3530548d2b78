"""Lanes: messages of scripts that run at one time over several connections are not dropped as repeated."""

from __future__ import annotations

from typing import Any

import pytest

from service import errors
from service.live.queue.lanes import Lanes
from service.live.queue.routing import Entry, Seen, parse_entry
from service.live.queue.streams import QueueCounters
from service.sessions.store.keys import Keys

TOKEN = "abcdefghij"


def make() -> tuple[Lanes, QueueCounters]:
    counters = QueueCounters()
    return Lanes(Keys("p"), TOKEN, cap=1000, counters=counters), counters


def entry(lane: list[Any]) -> Entry:
    parsed = parse_entry(b"1-0", [b"n", lane[2].encode(), b"d", b"{}"])
    assert parsed is not None
    return parsed


def test_script_gets_what_it_needs_to_send_a_message() -> None:
    with make()[0].lend() as lane:
        inboxes, token, _, cap = lane
    assert (inboxes + "other", token, cap) == (Keys("p").inbox("other"), TOKEN, 1000)


def test_messages_of_calls_at_one_time_are_all_new_in_any_order() -> None:
    lanes, _ = make()
    with lanes.lend() as one, lanes.lend() as two, lanes.lend() as three:
        entries = [entry(lane) for lane in (one, two, three)]
    seen = Seen()
    assert [seen.is_new(each) for each in reversed(entries)] == [True] * 3
    assert [seen.is_new(each) for each in entries] == [False] * 3


def test_call_after_another_one_has_its_publisher_and_a_larger_number() -> None:
    """So that readers need not remember a publisher for each."""
    lanes, _ = make()
    with lanes.lend() as lane:
        first = entry(lane)
    with lanes.lend() as lane:
        later = entry(lane)
    assert later.publisher == first.publisher
    assert later.number > first.number


@pytest.mark.parametrize(
    ("error", "is_used_again"),
    [
        (errors.StoreUnavailable(), False),  # its script may still run, after a later one
        (KeyboardInterrupt(), False),
        (errors.Overloaded(), True),
        (errors.StaleGeneration(session_id="d1"), True),
    ],
)
def test_publisher_is_used_again_unless_the_answer_may_still_come(
    error: BaseException, is_used_again: bool
) -> None:
    lanes, _ = make()
    with pytest.raises(type(error)), lanes.lend() as lane:
        failed = entry(lane)
        raise error
    with lanes.lend() as lane:
        assert (entry(lane).publisher == failed.publisher) is is_used_again


def test_nothing_is_kept_of_calls_that_were_not_answered() -> None:
    """There are many of them while Redis is away."""
    lanes, _ = make()
    names = set()
    for _ in range(1000):
        with pytest.raises(errors.StoreUnavailable), lanes.lend() as lane:
            names.add(lane[2])
            raise errors.StoreUnavailable
    assert len(names) == 1000
    assert not any(isinstance(one, list | dict | set) and one for one in vars(lanes).values())


def test_node_that_was_started_again_is_no_repetition_of_the_former_one() -> None:
    """pathosDev/actor-ts#726: numbers began again, and what was new counted as seen. Here names do too."""
    former, _ = make()
    later = Lanes(Keys("p"), "klmnopqrst", cap=1000, counters=QueueCounters())
    seen = Seen()
    for lanes in (former, later):
        for _ in range(3):
            with lanes.lend() as lane:
                assert seen.is_new(entry(lane))


def test_what_was_sent_counts() -> None:
    lanes, counters = make()
    with lanes.lend():
        pass
    assert counters.sent == 0
    lanes.note_sent()
    assert counters.sent == 1
