"""Pending updates: what one session sent since the last flush."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from service.live.ownership.owned import OwnedSession
from service.native import Updates
from service.schema.samples import Sample
from service.sessions.model import AppendPart, AppendResult

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


class AppendStore(Protocol):
    """The part of the session store that appends flushes."""

    def append(
        self, partition: int, writer_id: str, number: int, parts: list[AppendPart]
    ) -> list[AppendResult]: ...

    def append_all(
        self, writer_id: str, batches: Sequence[tuple[int, int, list[AppendPart]]]
    ) -> list[list[AppendResult] | Exception]: ...


class PendingUpdates:
    """Updates of one session that go to Redis as one part, in order."""

    __slots__ = ("attempts", "bytes", "cost", "count", "entries", "numbered", "owned")

    def __init__(self, owned: OwnedSession, numbered: bool, attempts: int = 0) -> None:
        self.owned = owned
        self.numbered = numbered
        #: Each with the number under which its socket wants an ack, or None.
        self.entries: list[tuple[Update, int | None]] = []
        self.count = 0
        #: Their estimated memory.
        self.cost = 0
        self.bytes = 0
        self.attempts = attempts

    def add(self, update: Update, ack_id: int | None) -> None:
        self.entries.append((update, ack_id))
        self.count += len(update.samples)
        self.bytes += update.bytes_in
        self.cost += cost_bytes(update)

    def part(self) -> AppendPart:
        keys: dict[str, list[bytes]] = {}
        feed: list[bytes] = []
        for update, _ in self.entries:
            for key, value_ts, in_feed in update.samples:
                if key in keys:
                    keys[key].append(value_ts)
                else:
                    keys[key] = [value_ts]
                feed.append(in_feed)
        owned = self.owned
        return AppendPart(
            session_id=owned.session_id,
            generation=owned.generation,
            stream=owned.stream,
            seq_from=self.entries[0][0].seq if self.numbered else None,
            seq_to=self.entries[-1][0].seq if self.numbered else None,
            bytes_in=self.bytes,
            count=self.count,
            samples_json=b"[" + b",".join(feed) + b"]",
            keys=keys,
        )


def cost_bytes(update: Update) -> int:
    """Return the estimated memory of an update while it waits."""
    return UPDATE_COST_BYTES + len(update.samples) * SAMPLE_COST_BYTES + 2 * update.bytes_in


def cost_of_all(updates: Updates) -> int:
    """Return the sum of `cost_bytes` of updates that were read in C."""
    entries, count = len(updates.entries), updates.samples
    return entries * UPDATE_COST_BYTES + count * SAMPLE_COST_BYTES + 2 * updates.bytes_in
