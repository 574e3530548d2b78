"""Pending updates: what one session sent since the last flush.

The samples are joined as they come in, while each is at hand: a flush that touched thousands of small objects once
more, some milliseconds later, spent most of its time waiting for memory. The single events are looked at again only
where Redis refuses something of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import orjson

from service.live.ownership.owned import OwnedSession
from service.native import Updates
from service.schema import limits
from service.schema.samples import Sample, parse_update
from service.sessions.model import AppendPart, AppendResult, append_part

#: Estimated memory of an update and of a sample in addition to their own bytes.
UPDATE_COST_BYTES = 400
SAMPLE_COST_BYTES = 200


class Update(Protocol):
    """One parsed update event, as `parse_update` returns it."""

    @property
    def samples(self) -> Sequence[Sample]: ...
    @property
    def seq(self) -> int | None: ...
    @property
    def bytes_in(self) -> int: ...


#: An update, and the number under which its socket wants an ack, or None.
Entry = tuple[Update, int | None]


class AppendStore(Protocol):
    """The part of the session store that appends flushes."""

    def append(
        self, partition: int, writer_id: str, number: int, parts: list[AppendPart]
    ) -> list[AppendResult]: ...

    def append_all(
        self, writer_id: str, batches: Sequence[tuple[int, int, list[AppendPart]]]
    ) -> list[list[AppendResult] | Exception]: ...


class PendingUpdates:
    """Updates of one session that go to Redis as one part, in order; if numbered, without a gap."""

    __slots__ = (
        *("_came", "_feed", "_keys", "acks", "attempts", "bytes", "cost", "count", "events"),
        *("first_seq", "owned"),
    )

    def __init__(self, owned: OwnedSession, first_seq: int, attempts: int = 0) -> None:
        self.owned = owned
        #: 0: they have no numbers.
        self.first_seq = first_seq
        self.attempts = attempts
        #: Updates, and samples in them.
        self.events = self.count = 0
        #: Their estimated memory.
        self.cost = 0
        self.bytes = 0
        #: Of updates that want one: ack id, and how many samples there are up to their last one.
        self.acks: list[tuple[int, int]] = []
        self._keys: dict[str, list[bytes]] = {}
        self._feed: list[bytes] = []
        self._came: list[Entry | Updates] = []

    @property
    def numbered(self) -> bool:
        return self.first_seq > 0

    @property
    def last_seq(self) -> int:
        return self.first_seq + self.events - 1 if self.first_seq else 0

    def fits(self, seq: int, count: int, size: int) -> bool:
        """Return whether so much more goes in here, the first of which has this number; 0: none."""
        return (
            seq == (self.first_seq and self.first_seq + self.events)
            and self.count + count <= limits.CALL_SAMPLES
            and self.bytes + size <= limits.CALL_BYTES
        )

    def add(self, update: Update, ack_id: int | None) -> None:
        keys, feed, samples = self._keys, self._feed, update.samples
        for key, value_ts, in_feed in samples:
            if key in keys:
                keys[key].append(value_ts)
            else:
                keys[key] = [value_ts]
            feed.append(in_feed)
        self._came.append((update, ack_id))
        self.events += 1
        self.count += len(samples)
        self.bytes += update.bytes_in
        self.cost += cost_bytes(update)
        if ack_id is not None:
            self.acks.append((ack_id, self.count))

    def add_all(self, updates: Updates, cost: int) -> None:
        """Add a run, which is used for nothing else from then on, and of which `cost_of_all` was asked."""
        keys, count = self._keys, self.count
        if count:
            for key, values in updates.keys.items():
                if key in keys:
                    keys[key] += values
                else:
                    keys[key] = values
            self.acks += [(ack_id, count + place) for ack_id, place in updates.acks]
        else:
            self._keys, self.acks = updates.keys, updates.acks
        self._feed.append(updates.feed)
        self._came.append(updates)
        self.events += updates.events
        self.count += updates.samples
        self.bytes += updates.bytes_in
        self.cost += cost

    def entries(self) -> list[Entry]:
        """Return the updates one by one."""
        found: list[Entry] = []
        for came in self._came:
            if isinstance(came, Updates):
                found += entries_of(came)
            else:
                found.append(came)
        return found

    def part(self) -> AppendPart:
        """Return what the store is given; nothing may be added any more."""
        owned, is_numbered = self.owned, self.first_seq > 0
        return append_part(
            (
                owned.session_id,
                owned.generation,
                owned.stream,
                self.first_seq if is_numbered else None,
                self.last_seq if is_numbered else None,
                self.bytes,
                self.count,
                b"[" + b",".join(self._feed) + b"]",
                self._keys,
            )
        )


def entries_of(updates: Updates) -> list[Entry]:
    """Return the updates of a run one by one, read by Python as they were read in C."""
    now_s = float(updates.now or 0)
    found: list[Entry] = []
    for text in updates.texts():
        head, _, event = str(text).partition("[")
        _, payload = orjson.loads(f"[{event}")
        update = parse_update(payload, now_s, len(updates.frames))
        found.append((update, int(head[2:]) if head[2:] else None))
    return found


def cost_bytes(update: Update) -> int:
    """Return the estimated memory of an update while it waits."""
    return UPDATE_COST_BYTES + len(update.samples) * SAMPLE_COST_BYTES + 2 * update.bytes_in


def cost_of_all(updates: Updates) -> int:
    """Return the sum of `cost_bytes` of updates that were read in C."""
    own = 2 * updates.bytes_in
    return updates.events * UPDATE_COST_BYTES + updates.samples * SAMPLE_COST_BYTES + own
