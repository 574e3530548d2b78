"""Updates on their way to Redis: what one session sent since the last flush."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from service.errors import ServiceError
from service.live.owned import OwnedSession
from service.sessions.model import AppendPart, AppendResult

#: What one call of the script may carry (design, section 9).
MAX_CALL_SESSIONS = 500
MAX_CALL_SAMPLES = 2_000
MAX_CALL_BYTES = 1 << 20
#: About what an update and a sample cost in memory beside their own bytes.
UPDATE_COST_BYTES = 400
SAMPLE_COST_BYTES = 200

#: Gets the fate of one update.
Done = Callable[[AppendResult | ServiceError], None]


class Sample(Protocol):
    """One sample, encoded once when it came in."""

    @property
    def key(self) -> str: ...
    @property
    def value_ts(self) -> bytes: ...  # [value,ts]
    @property
    def feed(self) -> bytes: ...  # ["key",value,ts]


class Update(Protocol):
    """What `parse_update` made of one event."""

    @property
    def samples(self) -> Sequence[Sample]: ...
    @property
    def seq(self) -> int | None: ...
    @property
    def bytes_in(self) -> int: ...


class Slot:
    """Updates of one session that go to Redis as one part, in order."""

    __slots__ = ("attempts", "bytes", "count", "entries", "numbered", "owned")

    def __init__(self, owned: OwnedSession, numbered: bool, attempts: int = 0) -> None:
        self.owned = owned
        self.numbered = numbered
        self.entries: list[tuple[Update, Done]] = []
        self.count = 0
        self.bytes = 0
        self.attempts = attempts

    def add(self, update: Update, done: Done) -> None:
        self.entries.append((update, done))
        self.count += len(update.samples)
        self.bytes += update.bytes_in

    def takes(self, update: Update, numbered: bool) -> bool:
        return (
            self.numbered == numbered
            and self.count + len(update.samples) <= MAX_CALL_SAMPLES
            and self.bytes + update.bytes_in <= MAX_CALL_BYTES
        )

    def part(self) -> AppendPart:
        keys: dict[str, list[bytes]] = {}
        feed: list[bytes] = []
        for update, _ in self.entries:
            for sample in update.samples:
                values = keys.get(sample.key)
                if values is None:
                    keys[sample.key] = [sample.value_ts]
                else:
                    values.append(sample.value_ts)
                feed.append(sample.feed)
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
    """About how much memory an update takes while it waits."""
    return UPDATE_COST_BYTES + len(update.samples) * SAMPLE_COST_BYTES + 2 * update.bytes_in
