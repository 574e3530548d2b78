"""The feeds in Redis: where they end, what comes next, and whether anything is missing.

A feed is a stream whose ids are `<n>-0`, n = 1, 2, 3, … within an epoch, so a reader can check by
itself that it got everything: the numbers it reads follow each other, and the epoch read after
the entries is the one it began with. Every read checks both; an open connection proves nothing
(an emptied Redis keeps its connections).

These checks do not show a Redis that came back without its last second and continued to count: the
epoch changes only when it is asked for (`store.feed_open`). So a continuous reader has a connection
of its own that never reconnects silently (`FeedReader`), and asks after each new connection before
it reads on. `head` and `recoverable` ask each time.

Replies are taken raw in RESP2: redis-py's own forms of XREAD and XRANGE put the fields into a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import hiredis
import redis

from service import errors
from service.live.feed import position as positions
from service.live.feed.position import FeedLost, Position, epochs_digest
from service.live.feed.scope import Scope
from service.redis_access.connections import replies, send
from service.redis_access.replies import RAISED, translated
from service.sessions.model import FeedHead
from service.sessions.store.keys import Keys

#: A connection that is silent for this much longer than it was asked to block is dead (half-open).
SILENT_S = 5.0
#: Bytes one read at the end of the feeds aims at. An entry may have 1 MiB, so the number of entries
#: asked for follows their size.
TARGET_BYTES = 512 * 1024
#: The same for a page of `read_range`, which is sent to one dashboard at once.
PAGE_BYTES = 128 * 1024
#: Read behind the entries: the present epoch of the feed, and the number of its last entry.
EPOCH_FIELDS = ("epoch", "last")
#: Entries one read takes at most, per partition.
MAX_ENTRIES = 1_000

Entries = list[tuple[int, list[bytes]]]


class FeedStore(Protocol):
    """The part of the session store that opens feeds and reads their ends."""

    def open_feed(self, partition: int) -> FeedHead: ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Entries of one partition, oldest first, and the epoch after they were read."""

    partition: int
    epoch: str | None
    entries: Entries
    head: int  #: number of the feed's last entry, after they were read

    def check(self, epoch: str, after: int) -> None:
        """Raise FeedLost unless the entries are those that follow number `after` in this epoch."""
        if self.epoch != epoch:
            raise FeedLost(self.partition, "epoch_changed")
        for number, _ in self.entries:
            after += 1
            if number != after:
                raise FeedLost(self.partition, "feed_trimmed")


class Feed:
    """All feeds of a service.

    Args:
        connect: makes a client with the given options of `redis.Redis`; called once for each of the
            two kinds used here, when it is first needed.
        store: returns epochs.
    """

    def __init__(self, connect: Callable[..., redis.Redis], keys: Keys, store: FeedStore) -> None:
        self.keys = keys
        self._connect = connect
        self._store = store
        self._client: redis.Redis | None = None
        self._entry_bytes = 2_000.0
        self._given_up: dict[int, tuple[str, int]] = {}

    def open(self, partition: int) -> FeedHead:
        """Return where a partition's feed ends; gives it a new epoch if Redis may have lost data.

        Raises:
            StoreUnavailable
        """
        return self._store.open_feed(partition)

    def head(self, partitions: Iterable[int]) -> Position:
        """Return the present end of these feeds. Call it before reading a snapshot, then begin there."""
        heads = {partition: self.open(partition) for partition in partitions}
        return Position(
            epochs_digest({partition: head.epoch for partition, head in heads.items()}),
            {partition: head.last for partition, head in heads.items()},
        )

    def recoverable(self, position: Position) -> bool:
        """Return whether everything after the position can still be read. One script per partition."""
        heads = {partition: self.open(partition) for partition in position.offsets}
        epochs = {partition: head.epoch for partition, head in heads.items()}
        if epochs_digest(epochs) != position.epoch:
            return False
        for partition, offset in position.offsets.items():
            head = heads[partition]
            given_up = self._given_up.get(partition, ("", 0))
            first = max(head.first - 1, given_up[1] if given_up[0] == head.epoch else 0)
            if not first <= offset <= head.last:
                return False
        return True

    def give_up(self, partition: int, epoch: str, number: int) -> None:
        """Declare everything before this entry unreadable: dashboards from there need a new snapshot.

        Otherwise a dashboard that resumes with its cursor would meet the same entry for ever.
        """
        self._given_up[partition] = (epoch, number)

    def encode_cursor(self, scope: Scope, position: Position) -> str:
        return positions.encode_cursor(scope, position)

    def decode_cursor(self, scope: Scope, text: object) -> Position | None:
        """Return the position of a cursor; None for one of another scope, or no cursor at all."""
        return positions.decode_cursor(scope, text, self.keys)

    def read_range(self, spans: Mapping[int, tuple[int, int]]) -> list[Chunk]:
        """Read the next entries after each span's first number, up to its second, which must exist.

        Returns about `PAGE_BYTES`, at least one entry per partition; not checked yet.

        Raises:
            FeedLost: a partition returned nothing.
            StoreUnavailable
        """
        count = self._count(PAGE_BYTES)
        with translated():
            client = self._client
            if client is None:
                client = self._client = self._connect(
                    decode_responses=False, protocol=2, socket_timeout=SILENT_S
                )
                client.set_response_callback("XRANGE", _as_it_is)
            with client.pipeline(transaction=False) as pipe:
                for partition, (after, until) in spans.items():
                    key = self.keys.feed(partition)
                    first, last = f"{after + 1}-0", f"{until}-0"
                    pipe.xrange(key, first, last, count)
                for partition in spans:
                    pipe.hmget(self.keys.epoch(partition), *EPOCH_FIELDS)
                found = pipe.execute()
        chunks = _chunks(list(spans), found[: len(spans)], found[len(spans) :])
        for chunk in chunks:
            if not chunk.entries:
                raise FeedLost(chunk.partition, "feed_trimmed" if chunk.epoch else "epoch_changed")
        self._learn(chunks)
        return chunks

    def reader(self) -> FeedReader:
        """Return a reader with a connection of its own, not yet connected."""
        return FeedReader(self, self._connect)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _count(self, target_bytes: int) -> int:
        """Return how many entries make that many bytes, by the size of recent ones."""
        return max(1, min(MAX_ENTRIES, int(target_bytes / self._entry_bytes)))

    def _learn(self, chunks: list[Chunk]) -> None:
        number = size = 0
        for chunk in chunks:
            number += len(chunk.entries)
            for _, fields in chunk.entries:
                size += sum(map(len, fields))
        if number:
            self._entry_bytes += (size / number - self._entry_bytes) / 4


class _Asked:
    """What every read of the same partitions sends.

    Attributes:
        feeds: the names of their streams.
        epochs: the commands for their epochs. These go behind: what is still the same after the entries were read
            was so all the time.
    """

    __slots__ = ("epochs", "feeds", "partitions")

    def __init__(self, keys: Keys, partitions: list[int]) -> None:
        self.partitions = partitions
        self.feeds = [keys.feed(partition).encode() for partition in partitions]
        self.epochs = b""
        for partition in partitions:
            asking: tuple[Any, ...] = ("HMGET", keys.epoch(partition), *EPOCH_FIELDS)
            self.epochs += hiredis.pack_command(asking)


class FeedReader:
    """Reads on at the ends of feeds, blocking. Not for several tasks at once."""

    def __init__(self, feed: Feed, connect: Callable[..., redis.Redis]) -> None:
        self._feed = feed
        self._connect = connect
        self._pool: redis.ConnectionPool | None = None
        self._connection: Any = None
        self._asked: _Asked | None = None
        self.has_more = False  #: the last read stopped at its bound, not at the end

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def connect(self) -> None:
        """Make a new connection. Open the feeds again before reading through it.

        Raises:
            StoreUnavailable
        """
        self.close()
        with translated():
            if self._pool is None:
                options = {"decode_responses": False, "protocol": 2, "socket_timeout": SILENT_S}
                self._pool = self._connect(**options).connection_pool
            # Not from the pool: a pool silently replaces a dead connection.
            connection: Any = self._pool.connection_class(**self._pool.connection_kwargs)
            connection.connect()
            self._connection = connection

    def read(self, after: Mapping[int, int], block_s: float) -> list[Chunk]:
        """Read what follows these numbers, waiting up to `block_s` until there is something.

        Returns a chunk for each partition, most of them without entries; not checked yet.

        Raises:
            StoreUnavailable: the connection is gone; `connect` makes another.
        """
        asked, partitions = self._asked, list(after)
        if asked is None or asked.partitions != partitions:
            asked = self._asked = _Asked(self._feed.keys, partitions)
        count = self._feed._count(TARGET_BYTES)
        block_ms = max(1, int(block_s * 1000))  # 0 would block for ever
        ends = [f"{number}-0" for number in after.values()]
        reading: tuple[Any, ...]
        reading = ("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", *asked.feeds, *ends)
        connection = self._connection
        if connection is None:
            raise errors.StoreUnavailable
        try:
            with translated():
                send(connection, hiredis.pack_command(reading) + asked.epochs)
                found = connection.read_response(timeout=block_s + SILENT_S)
                epochs = list(replies(connection, len(partitions)))
        except BaseException:
            self.close()  # a reply may still be on its way: this connection cannot be used any more
            raise
        entries_of = dict(found or ())
        entries = [entries_of.get(name, []) for name in asked.feeds]
        chunks = _chunks(partitions, entries, epochs)
        self._feed._learn(chunks)
        self.has_more = count in [len(chunk.entries) for chunk in chunks]
        return chunks

    def close(self) -> None:
        """Forget the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with _ignored():
                connection.disconnect()


def _as_it_is(reply: Any, **_options: Any) -> Any:
    return reply


def _chunks(partitions: list[int], entries_of: list[Any], epochs: list[Any]) -> list[Chunk]:
    return [
        Chunk(
            partition,
            epoch.decode() if epoch is not None else None,
            [(int(entry_id.partition(b"-")[0]), fields) for entry_id, fields in entries],
            int(last or 0),
        )
        for partition, entries, (epoch, last) in zip(partitions, entries_of, epochs, strict=True)
    ]


@contextmanager
def _ignored() -> Iterator[None]:
    try:
        yield
    except RAISED:
        return
