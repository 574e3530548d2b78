"""The intake: what comes in waits here, in the order of each partition, until a flush takes it."""

from __future__ import annotations

from collections import deque

from service import errors
from service.errors import ServiceError
from service.live.ingest.answers import Duplicates, SafeAnswers
from service.live.ingest.backpressure import HOLD_BYTES, HOLD_UPDATES, Backpressure
from service.live.ingest.pending import PendingUpdates, Update, cost_bytes
from service.live.ingest.pulse import Pulse
from service.live.ingest.refusals import gap_error, lost_error
from service.live.ownership.owned import OwnedSession
from service.live.standing import Standing
from service.native import Updates
from service.sessions.model import AppendResult


class Intake:
    """What waits for its flush.

    Args:
        load: counts it.
        pulse: is notified when there is something to flush.
        max_buffer_bytes: estimated memory; above it updates are refused.
    """

    def __init__(
        self,
        load: Backpressure,
        pulse: Pulse,
        answers: SafeAnswers,
        duplicates: Duplicates,
        standing: Standing,
        max_buffer_bytes: int,
    ) -> None:
        self._load = load
        self._pulse = pulse
        self._answers = answers
        self._duplicates = duplicates
        self._standing = standing
        self._max_buffer_bytes = max_buffer_bytes
        #: By partition, and of each session the last one, to which more may be added.
        self.queues: dict[int, deque[PendingUpdates]] = {}
        self.open: dict[OwnedSession, PendingUpdates] = {}

    def add(self, owned: OwnedSession, update: Update, ack_id: int | None) -> None:
        """Buffer an update; it is answered once Redis answered. Never blocks.

        A duplicate of an update that is still on its way is answered after that one.

        Raises:
            Conflict: the `seq` leaves a gap; `expected_seq` is the one that would not.
            Overloaded: the buffer is full although Redis answers.
            StoreUnavailable: the buffer is full because Redis does not answer.
            StaleGeneration: another connection owns the session.
        """
        if owned.lost:
            raise lost_error(owned)
        seq = update.seq
        if seq is not None and not self._is_next(owned, seq, update, ack_id):
            return
        cost = cost_bytes(update)
        load = self._load
        if load.bytes + cost > self._max_buffer_bytes:
            raise self._full()
        if seq is not None:
            owned.accepted_seq = seq
        slot = self.open.get(owned)
        if slot is None or not slot.fits(seq or 0, len(update.samples), update.bytes_in):
            slot = self._open(owned, seq or 0)
        slot.add(update, ack_id)
        # `Backpressure.charge`, written out: this runs for every event
        load.bytes += cost
        owned.waiting += 1
        owned.waiting_bytes += cost
        if owned.waiting >= HOLD_UPDATES or owned.waiting_bytes >= HOLD_BYTES:
            load.hold(owned)

    def has_room(self, owned: OwnedSession, updates: Updates, cost: int) -> bool:
        """Return whether `add` would take each of these, and hold no socket for it.

        Args:
            cost: `cost_of_all` of them.
        """
        return (
            not owned.lost
            and updates.first_seq in (0, owned.accepted_seq + 1)
            and self._load.bytes + cost <= self._max_buffer_bytes
            and owned.waiting + updates.events < HOLD_UPDATES
            and owned.waiting_bytes + cost < HOLD_BYTES
        )

    def add_all(self, owned: OwnedSession, updates: Updates, cost: int) -> None:
        """Do what `add` does for each of these, at once; `has_room` was asked."""
        events, first_seq, load = updates.events, updates.first_seq, self._load
        slot = self.open.get(owned)
        if slot is None or not slot.fits(first_seq, updates.samples, updates.bytes_in):
            slot = self._open(owned, first_seq)
        slot.add_all(updates, cost)
        # `Backpressure.charge`, written out: this runs for nearly every event
        load.bytes += cost
        owned.waiting += events
        owned.waiting_bytes += cost
        if first_seq:
            owned.accepted_seq += events

    def _open(self, owned: OwnedSession, first_seq: int) -> PendingUpdates:
        slot = self.open[owned] = PendingUpdates(owned, first_seq)
        queue = self.queues.get(owned.partition)
        if queue is None:
            queue = self.queues[owned.partition] = deque()
            self._pulse.soon()
        queue.append(slot)
        return slot

    def _is_next(self, owned: OwnedSession, seq: int, update: Update, ack_id: int | None) -> bool:
        """Return whether to store this number; a duplicate is answered, now or after its first."""
        if seq == owned.accepted_seq + 1:
            return True
        if seq <= owned.last_seq:
            if ack_id is not None:
                self._answers.answer(owned, ack_id, AppendResult("duplicate", owned.rev))
            return False
        if seq > owned.accepted_seq:
            raise gap_error(owned.accepted_seq + 1)
        cost = cost_bytes(update)
        if self._load.bytes + cost > self._max_buffer_bytes:
            raise self._full()
        self._duplicates.add(owned, seq, cost, ack_id)
        return False

    def _full(self) -> ServiceError:
        return errors.StoreUnavailable() if self._standing.is_away else errors.Overloaded()
