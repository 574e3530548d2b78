"""From which positions of a feed a dashboard can continue: exactly those after which everything can be read."""

from __future__ import annotations

from typing import Any

from service.live.feed.feed import Feed
from service.live.feed.position import Position, epochs_digest
from service.sessions.model import FeedHead
from service.sessions.store.keys import Keys


class Store:
    """Two feeds; the first has entries 4 to 10, the second has none and begins with 1."""

    def __init__(self) -> None:
        self.heads = {0: FeedHead("e0", 10, 4), 1: FeedHead("e1", 0, 1)}

    def open_feed(self, partition: int) -> FeedHead:
        return self.heads[partition]


def recoverable(feed: Feed, store: Store, partition: int = 0) -> list[int]:
    epoch = epochs_digest({partition: store.heads[partition].epoch})
    return [n for n in range(14) if feed.recoverable(Position(epoch, {partition: n}))]


def made() -> tuple[Feed, Store]:
    store: Any = Store()
    return Feed(lambda **_: None, Keys("t", 2), store), store  # type: ignore[arg-type, return-value]


def test_position_is_recoverable_from_before_the_first_entry_to_the_last() -> None:
    """Not behind the last: that is of a future which Redis has lost."""
    feed, store = made()
    assert recoverable(feed, store) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert recoverable(feed, store, 1) == [0]


def test_position_before_an_entry_that_cannot_be_read_is_not_recoverable() -> None:
    """A dashboard would meet the same entry for ever; in another epoch it is another entry."""
    feed, store = made()
    feed.give_up(0, "e0", 7)
    assert recoverable(feed, store) == [7, 8, 9, 10]
    store.heads[0] = FeedHead("other", 10, 4)
    assert recoverable(feed, store) == [3, 4, 5, 6, 7, 8, 9, 10]


def test_position_of_another_epoch_is_not_recoverable() -> None:
    feed, _store = made()
    assert not feed.recoverable(Position(epochs_digest({0: "former"}), {0: 5}))


def test_every_feed_of_a_position_counts() -> None:
    feed, _store = made()
    epoch = epochs_digest({0: "e0", 1: "e1"})
    assert feed.recoverable(Position(epoch, {0: 5, 1: 0}))
    assert not feed.recoverable(Position(epoch, {0: 5, 1: 1}))
