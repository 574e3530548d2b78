"""Positions of this node's reader in the feeds that are watched.

A `PartitionReader` exists while a group watches its partition. It begins at the end that the feed
has when it is first opened and moves on with every entry read; after each new connection it is
checked against the feed. Nothing here does I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from service.live.fanout.groups import Group
from service.live.feed.entries import Routes
from service.live.feed.feed import Chunk
from service.live.feed.position import FeedLost
from service.sessions.model import FeedHead

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class PartitionReader:
    """The reader's position in one watched partition."""

    partition: int
    epoch: str = ""
    number: int = -1  #: last entry that was routed; -1: not opened yet
    is_checked: bool = False  #: opened since the reader connected
    behind: int = 0  #: entries that follow and are not read yet, as far as is known
    groups: dict[Group, None] = field(default_factory=dict)  #: those that watch it
    seen_at: float = 0.0  #: everything that the feed had at this time was routed
    _end: tuple[int, float] = (-1, 0.0)  #: a number that the feed had reached, and when

    def open(self, head: FeedHead, asked_at: float) -> None:
        """Begin at the feed's end, or check that the feed continues where the reader is.

        Args:
            asked_at: when the head was asked for.

        Raises:
            FeedLost: the feed does not continue there.
        """
        if self.number < 0:
            self.epoch, self.number = head.epoch, head.last
            for group in self.groups:
                group.open(self.partition, self.epoch, self.number)
        elif self.epoch != head.epoch:
            raise FeedLost(self.partition, "epoch_changed")
        elif head.first > self.number + 1:
            raise FeedLost(self.partition, "feed_trimmed")
        self.is_checked = True
        self._note_end(head.last, asked_at)

    def take_in(self, chunk: Chunk, routes: Routes, asked_at: float) -> None:
        """Route the entries to the groups' pending changes, and move on.

        Args:
            asked_at: when the read was sent that brought them.

        Raises:
            FeedLost: entries are missing, or one is not understood.
        """
        chunk.check(self.epoch, self.number)
        try:
            for number, fields in chunk.entries:
                routes.route(self.partition, number, fields)
        except Exception as error:
            # To skip it, or to read it again, would be a gap or a repetition for those who watch.
            log.exception("feed entry not understood", extra={"action": "feed_unreadable"})
            self.number = chunk.entries[-1][0]
            raise FeedLost(self.partition, "unreadable") from error
        if chunk.entries:
            self.number = chunk.entries[-1][0]
            for group in self.groups:
                group.reach(self.partition, self.number)
        self.behind = max(0, chunk.head - self.number)
        self._note_end(chunk.head, asked_at)

    def _note_end(self, last: int, asked_at: float) -> None:
        """Note that the feed ended here, some time after this one.

        Who has come to an end that was noted has all that the feed had at that time. Where much is written,
        no read comes to the end that it shows itself; so one end is kept until it is reached.
        """
        if self.number >= self._end[0]:
            self.seen_at = self._end[1]
            self._end = (last, asked_at)
        if self.number >= self._end[0]:
            self.seen_at = self._end[1]


class PartitionReaders:
    """All partition readers of a node."""

    def __init__(self) -> None:
        self._readers: dict[int, PartitionReader] = {}

    def __bool__(self) -> bool:
        return bool(self._readers)

    def __iter__(self) -> Iterator[PartitionReader]:
        return iter(tuple(self._readers.values()))

    def __contains__(self, reader: PartitionReader) -> bool:
        """Return whether this very reader is still used (its partition may have got another one)."""
        return self._readers.get(reader.partition) is reader

    @property
    def oldest(self) -> float:
        """Return the time up to which all that all watched feeds had was routed."""
        return min((reader.seen_at for reader in self._readers.values()), default=float("inf"))

    def seen_at(self, partitions: Collection[int]) -> float:
        """Return the time up to which all that these feeds had was routed; of those that are watched."""
        found = (self._readers.get(partition) for partition in partitions)
        return min((one.seen_at for one in found if one is not None), default=float("inf"))

    def watch(self, group: Group, now: float) -> None:
        """Read what the group watches; a dashboard that joins it has just got a snapshot."""
        for partition in group.partitions:
            reader = self._readers.get(partition)
            if reader is None:
                reader = self._readers[partition] = PartitionReader(
                    partition, seen_at=now, _end=(-1, now)
                )
            reader.groups[group] = None
            if reader.number >= 0:
                group.open(partition, reader.epoch, reader.number)

    def unwatch(self, group: Group) -> None:
        for partition in group.partitions:
            reader = self._readers[partition]
            del reader.groups[group]
            if not reader.groups:
                del self._readers[partition]

    def distrust(self) -> None:
        """Mark all as unchecked: a new connection may read another feed."""
        for reader in self._readers.values():
            reader.is_checked = False
