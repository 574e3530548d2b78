"""The rule by which a device loses nothing and stores nothing twice; no I/O, no clock.

An update gets the next number of a stream, which is written to the buffer before it is sent. Only an
`ok` for it, or `last_seq` of a later `register`, settles it. After a refusal nothing is sent until
every answer that is under way has come; then what is left is numbered from the highest settled
number on, once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from muster_client.devices.buffer import Buffer, Numbered, Stored, new_stream
from muster_client.devices.samples import row

#: Samples that the service takes in one update.
MAX_SAMPLES = 2000
#: Bytes of one update: far below the limit of a message, so that acks come often on slow lines.
MAX_BYTES = 256 << 10
#: Updates that are on their way at a time.
WINDOW = 16
#: Codes after which the same update would be refused again.
_FINAL = frozenset({"invalid_request", "too_large", "not_allowed"})


@dataclass
class Update:
    """An update that has its number, or gets it when it is sent."""

    seq: int
    samples: list[Stored]

    @property
    def last(self) -> int:
        """Place of its last sample."""
        return self.samples[-1].place

    def payload(self, shift_s: float) -> dict[str, Any]:
        """Return it as `update_data` takes it.

        Args:
            shift_s: Added to the times of measurement.
        """
        rows = [row(one.sample, shift_s) for one in self.samples]
        return {"seq": self.seq, "samples": rows}


@dataclass
class Outcome:
    """What an answer meant.

    Attributes:
        acked: Samples that are stored now.
        dropped: Samples that the service will never take, each with the error of its own refusal.
        wait_s: Send nothing for so long.
        is_lost: This connection does not own the session any more: connect again.
    """

    acked: list[Stored] = field(default_factory=list)
    dropped: list[tuple[Stored, Mapping[str, Any]]] = field(default_factory=list)
    wait_s: float = 0.0
    is_lost: bool = False


class Sender:
    """What one device has to send; asked by one connection at a time.

    Args:
        buffer: What is written there outlives this.
    """

    def __init__(self, buffer: Buffer, window: int = WINDOW) -> None:
        self._buffer = buffer
        self._window = window
        self._settled = 0  # highest number that is settled in this stream, as far as is known
        self._left: deque[Update] = deque()  # numbered and not settled, in order
        self._unsent = 0  # how many at the end of `_left` were not sent on this connection
        self._awaited = 0  # answers that have not come
        self._is_registered = False
        # Number → error of what is to be split or dropped when all answers came.
        self._refused: dict[int, Mapping[str, Any]] = {}
        self._must_renumber = False
        self._has_reason = False  # a refusal in this round explains its conflicts
        self._load()

    def _load(self) -> None:
        after = 0
        for seq, last in self._buffer.numbered():
            samples = self._upto(after, last)
            if samples:
                self._left.append(Update(seq, samples))
            after = last
        self._settled = self._left[0].seq - 1 if self._left else self._buffer.highest

    def _upto(self, after: int, last: int) -> list[Stored]:
        found: list[Stored] = []
        while True:
            more = self._buffer.samples(after, MAX_SAMPLES)
            found += [one for one in more if one.place <= last]
            if len(more) < MAX_SAMPLES or more[-1].place >= last:
                return found
            after = more[-1].place

    @property
    def stream(self) -> str:
        """Name of the stream, for `register`."""
        return self._buffer.stream

    def lost(self) -> None:
        """Forget the connection; no answer will come any more."""
        self._is_registered, self._awaited = False, 0
        self._refused.clear()
        self._must_renumber = self._has_reason = False

    def registered(self, last_seq: int) -> tuple[list[Stored], bool]:
        """Begin on a connection that was registered with `stream`.

        Returns:
            Samples that turn out to be stored; and whether another stream has to be registered
            before anything is sent. Either the service knows numbers that this buffer never gave:
            then some samples may be stored twice. Or it has lost some that were settled: given again,
            they would pass for the former ones where it gets these back, from a backup.
        """
        settled: list[Stored] = []
        while self._left and self._left[0].seq <= last_seq:
            settled += self._left.popleft().samples
        must_change = last_seq > self._buffer.highest or last_seq < self._settled
        stream = new_stream() if must_change else self._buffer.stream
        self._settled = 0 if must_change else last_seq
        self._number_left(stream)
        if settled:
            self._buffer.settle(settled[-1].place, self._numbers())
        self._awaited = 0
        self._unsent = len(self._left)
        self._is_registered = not must_change
        return settled, must_change

    def _number_left(self, stream: str) -> None:
        """Give what is left the numbers behind the highest settled one, where that changes anything."""
        changed = stream != self._buffer.stream or self._buffer.is_new
        for seq, update in enumerate(self._left, self._settled + 1):
            changed = changed or update.seq != seq
            update.seq = seq
        if changed:
            highest = self._settled + len(self._left)
            if stream == self._buffer.stream:
                highest = max(highest, self._buffer.highest)
            self._buffer.number(self._numbers(), highest, stream)

    def _numbers(self) -> list[Numbered]:
        return [Numbered(update.seq, update.last) for update in self._left]

    def take(self) -> list[Update]:
        """Return updates to be sent now, in order; their numbers are written down."""
        if not self._is_registered or self._must_renumber:
            return []
        if self._unsent == 0 and self._awaited < self._window:
            self._number_new()
        room = self._window - self._awaited
        count = min(room, self._unsent)
        if count <= 0:
            return []
        first = len(self._left) - self._unsent
        self._unsent -= count
        self._awaited += count
        return list(self._left)[first : first + count]

    def _number_new(self) -> None:
        after = self._left[-1].last if self._left else 0
        new: list[Update] = []
        seq = self._left[-1].seq if self._left else self._settled
        while len(new) < self._window - self._awaited:
            samples = self._fitting(after)
            if not samples:
                break
            seq += 1
            new.append(Update(seq, samples))
            after = samples[-1].place
        if new:
            self._left.extend(new)
            highest = max(seq, self._buffer.highest)
            self._buffer.number(self._numbers(), highest, self.stream)
            self._unsent += len(new)

    def _fitting(self, after: int) -> list[Stored]:
        samples: list[Stored] = []
        size = 0
        for stored in self._buffer.samples(after, MAX_SAMPLES):
            size += stored.sample.size
            if samples and size > MAX_BYTES:
                break
            samples.append(stored)
        return samples

    def answered(self, seq: int, answer: Mapping[str, Any]) -> Outcome:
        """Take the answer to an update of this connection; see `Outcome`."""
        self._awaited -= 1
        outcome = Outcome()
        if answer.get("ok"):
            self._ok(seq, outcome)
        else:
            self._not_ok(seq, answer.get("error") or {}, outcome)
        if self._must_renumber and self._awaited == 0:
            self._begin_again(outcome)
        return outcome

    def _ok(self, seq: int, outcome: Outcome) -> None:
        update = next((one for one in self._left if one.seq == seq), None)
        if update is None:
            return
        # Acks come in the order of the updates, so all before it are stored too.
        while self._left and self._left[0].seq <= seq:
            outcome.acked += self._left.popleft().samples
        self._settled = seq
        self._buffer.settle(outcome.acked[-1].place, self._numbers())

    def _not_ok(self, seq: int, error: Mapping[str, Any], outcome: Outcome) -> None:
        code = error.get("code")
        self._must_renumber = True
        if code in ("stale_generation", "not_registered", "session_not_found", "internal"):
            outcome.is_lost = True
        elif code in _FINAL:
            self._refused[seq] = error
            self._has_reason = True
        elif code != "conflict":
            self._has_reason = True
            after = error.get("retry_after_s")
            outcome.wait_s = float(after) if isinstance(after, (int, float)) else 0.25

    def _begin_again(self, outcome: Outcome) -> None:
        """All answers came: split or drop what was refused, number the rest, send it again."""
        if not self._has_reason:
            outcome.is_lost = True  # the service counts otherwise: the next `register` says how
            return
        kept: deque[Update] = deque()
        for update in self._left:
            if update.seq not in self._refused:
                kept.append(update)
            elif len(update.samples) > 1:
                half = len(update.samples) // 2
                kept.append(Update(0, update.samples[:half]))
                kept.append(Update(0, update.samples[half:]))
            else:
                outcome.dropped.append((update.samples[0], self._refused[update.seq]))
        self._left = kept
        self._refused.clear()
        self._must_renumber = self._has_reason = False
        for seq, update in enumerate(self._left, self._settled + 1):
            update.seq = seq
        highest = max(self._buffer.highest, self._settled + len(self._left))
        for stored, _ in outcome.dropped:
            self._buffer.drop(stored.place, [])
        self._buffer.number(self._numbers(), highest, self.stream)
        self._unsent = len(self._left)
