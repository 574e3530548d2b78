"""Ingest, a write-behind buffer: the samples of this node's sockets, one `append` per partition.

The flushes of all partitions that wait go in one round trip (`flights`).

An update waits in a `PendingUpdates` of its session until the next flush (at once while the node is
calm, otherwise every `flush_interval_ms`), goes to Redis together with those of all other sessions,
and is acked after Redis answered. Each flush has a number. While the answer is missing the very same
flush is repeated under the same number, and Redis, which keeps the last number and answer per node
and partition, stores it once. One flush per partition is in flight.

The updates of a `PendingUpdates` are all numbered (`seq`) or all not, because Redis checks the
numbers of a session's part as a whole. When a part is refused, the session's other waiting updates
with numbers are refused too, so that a device never sees a later number accepted after an earlier
one was not.

A session that Redis does not know any more, or with another generation, is reclaimed with the one held
here, and its part is sent again under a new number, unless Redis refuses the claim: it may have come back
empty, or as it was before the register. Not done here: writes without a connection, which go directly to
the store.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from service import errors
from service.errors import ServiceError
from service.live.calm import Calm
from service.live.ingest.answers import Duplicates, SafeAnswers, UpdateAnswers
from service.live.ingest.backpressure import Backpressure, Flow
from service.live.ingest.flights import Flight, Flights
from service.live.ingest.intake import Intake
from service.live.ingest.pending import AppendStore, Entry, PendingUpdates
from service.live.ingest.pulse import Pulse
from service.live.ingest.refusals import gap_error, lost_error, word_error
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.observability.metrics import Metrics
from service.schema import limits
from service.sessions.model import AppendResult
from service.tasks import Tasks, keep_going

log = logging.getLogger(__name__)

#: Estimated memory the buffer may take.
MAX_BUFFER_BYTES = 32 << 20
#: How often one part is sent again after `missing`, `stale` or a shifted `seq`.
MAX_ATTEMPTS = 3


class Reconciler(Protocol):
    """Makes claims equal to what Redis holds; see `OwnershipReconciler`."""

    def reclaim(self, partition: int, claims: list[OwnedSession]) -> None: ...


class Ingest:
    """The buffer between this node's devices and Redis.

    Args:
        reconciler: gets back sessions that Redis does not know as ours, and ends claims that are over.
        answers: called with the outcome of every update.
        sockets: held where too much of a session waits.
        metrics: samples that Redis accepted, and flushes, are counted there.
        max_buffer_bytes: estimated memory; above it updates are refused.
        calm: whether a flush goes at once; without it: none does.
        read_waiting: reads what is left to be read just before a flush.
    """

    def __init__(
        self,
        store: AppendStore,
        sessions: OwnedSessions,
        tasks: Tasks,
        standing: Standing,
        writer_id: str,
        *,
        flush_interval_s: float,
        reconciler: Reconciler,
        answers: UpdateAnswers,
        sockets: Flow,
        metrics: Metrics,
        max_buffer_bytes: int = MAX_BUFFER_BYTES,
        calm: Calm | None = None,
        read_waiting: Callable[[], object] = lambda: None,
    ) -> None:
        self._read_waiting = read_waiting
        self._flights = Flights(store, standing, writer_id, tasks.sleep)
        self._sessions = sessions
        self._tasks = tasks
        self._standing = standing
        self._reconciler = reconciler
        self._answers = SafeAnswers(answers)
        self._load = Backpressure(sockets)
        self._duplicates = Duplicates(self._answers, self._load)
        self._metrics = metrics
        self._flying: set[int] = set()
        self._numbers: dict[int, int] = {}
        self._calm = calm or Calm(0)
        self._pulse = Pulse(tasks, flush_interval_s, self._calm, self._flush_ready)
        #: Where what is to be stored goes in.
        self.intake = Intake(
            self._load, self._pulse, self._answers, self._duplicates, standing, max_buffer_bytes
        )
        self.add = self.intake.add
        self._queues, self._open = self.intake.queues, self.intake.open
        self._stopped = False
        #: Samples that Redis accepted since the start.
        self.stored = 0

    @property
    def repeats(self) -> int:
        """Return how many flushes had to be sent again since the start."""
        return self._flights.repeats

    @property
    def buffered_bytes(self) -> int:
        """Return the estimated memory of what waits."""
        return self._load.bytes

    def run(self) -> None:
        """Flush every interval in which something waits, until `stop`; a long-lived task."""
        keep_going("ingest", self._wait_and_kick, self._tasks.sleep, lambda: self._stopped)

    def _wait_and_kick(self) -> None:
        self._pulse.wait(lambda: not self._queues and not self._stopped)
        self._read_waiting()
        self.kick()

    def stop(self) -> None:
        self._stopped = True
        self._pulse.wake()

    def kick(self) -> None:
        """Start a flush of every partition that has updates and no flush in flight."""
        ready = self._take_ready()
        if ready:
            self._tasks.spawn(self._drain, ready)

    def _flush_ready(self) -> None:
        """Do what `kick` does, in this task."""
        ready = self._take_ready()
        if ready:
            self._drain(ready)

    def _take_ready(self) -> list[int]:
        ready = [partition for partition in self._queues if partition not in self._flying]
        self._flying.update(ready)
        return ready

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything buffered is answered; False when the time ran out."""
        deadline = time.monotonic() + timeout_s
        while self._queues or self._flying:
            self.kick()
            if time.monotonic() >= deadline:
                return False
            self._tasks.sleep(0.005)
        return True

    def _drain(self, partitions: list[int]) -> None:
        # what comes in meanwhile waits for the next flush
        budgets = {partition: len(self._queues[partition]) for partition in partitions}
        began = time.monotonic()
        try:
            while budgets:
                flights = [self._take_off(partition, budgets) for partition in budgets]
                for flight, answer in self._flights.send([one for one in flights if one.parts]):
                    self._land_alone(flight, answer)
                budgets = {p: left for p, left in budgets.items() if left > 0 and self._queues[p]}
        finally:
            self._flying.difference_update(partitions)
            for partition in partitions:
                if not self._queues[partition]:
                    del self._queues[partition]
            self._calm.charge_time(time.monotonic() - began)
            if self._queues:
                self._pulse.wake()
        if self._queues:
            self._pulse.soon()

    def _take_off(self, partition: int, budgets: dict[int, int]) -> Flight:
        """Return the next flight of a partition; without parts where none could be made, and it has landed."""
        queue = self._queues[partition]
        batch = self._take(queue)
        budgets[partition] -= len(batch)
        self._calm.charge(sum([slot.events for slot in batch]))
        number = self._numbers[partition] = self._numbers.get(partition, 0) + 1
        flight = Flight(partition, number, queue, batch)
        try:
            flight.parts.extend([slot.part() for slot in batch])
        except Exception as error:  # noqa: BLE001  logged there; those that wait for an answer get one
            self._land_alone(flight, error)
        return flight

    def _take(self, queue: deque[PendingUpdates]) -> list[PendingUpdates]:
        batch: list[PendingUpdates] = []
        seen: set[OwnedSession] = set()
        count = size = 0
        while queue and len(batch) < limits.CALL_SESSIONS:
            slot = queue[0]
            count += slot.count
            size += slot.bytes
            too_much = count > limits.CALL_SAMPLES or size > limits.CALL_BYTES
            if slot.owned in seen or (batch and too_much):
                break
            queue.popleft()
            if self._open.get(slot.owned) is slot:
                del self._open[slot.owned]
            seen.add(slot.owned)
            batch.append(slot)
        return batch

    def _land_alone(self, flight: Flight, answer: list[AppendResult] | Exception) -> None:
        """Keep a defect in one partition from the others that flew with it."""
        try:
            self._land(flight, answer)
        except Exception:
            log.exception("flush failed", extra={"action": "flush_failed"})

    def _land(self, flight: Flight, answer: list[AppendResult] | Exception) -> None:
        queue, batch = flight.queue, flight.batch
        if isinstance(answer, ServiceError):
            return self._refuse_all(queue, batch, answer)
        if isinstance(answer, Exception):
            log.error("flush failed", exc_info=answer, extra={"action": "flush_failed"})
            return self._refuse_all(queue, batch, errors.Internal())
        self._metrics.flush_samples.observe(sum([slot.count for slot in batch]))
        self._metrics.flush_seconds.observe(time.monotonic() - flight.sent_at)
        stored, not_ours = self.stored, []
        for slot, result in zip(batch, answer, strict=True):
            if result.word == "ok":
                self._stored(slot, result.value)
            elif result.word in ("missing", "stale"):
                not_ours.append(slot)
            elif result.word == "conflict":
                self._shifted(queue, slot, result.value)
            elif result.word in ("too_many_keys", "too_large") and slot.events > 1:
                self._split(queue, slot)
            else:
                self._refuse(queue, slot, word_error(result.word))
        self._metrics.samples.add(count=self.stored - stored)
        return self._recover(flight.partition, queue, not_ours) if not_ours else None

    def _stored(self, slot: PendingUpdates, rev: int) -> None:
        # This runs for nearly every event of a busy node: it calls only what has something to do.
        owned, load = slot.owned, self._load
        owned.rev = rev
        self.stored += slot.count
        if slot.first_seq:
            owned.last_seq = slot.last_seq
        # `Backpressure.settle`, written out
        load.bytes -= slot.cost
        owned.waiting -= slot.events
        owned.waiting_bytes -= slot.cost
        if slot.acks:
            before = rev - slot.count
            self._answers.acked(owned, [(ack_id, before + count) for ack_id, count in slot.acks])
        if owned in self._duplicates.waiting:
            self._duplicates.answer(owned)
        if owned.is_held:
            load.release_if_low(owned)

    def _shifted(self, queue: deque[PendingUpdates], slot: PendingUpdates, last_seq: int) -> None:
        """Keep what still fits when the last seq in Redis is not the one this node assumed."""
        owned = slot.owned
        owned.last_seq = last_seq
        self._load.settle(slot)
        rest = PendingUpdates(owned, max(slot.first_seq, last_seq + 1), slot.attempts + 1)
        for seq, (update, ack_id) in enumerate(slot.entries(), slot.first_seq):
            if seq <= last_seq:
                self._answers.answer(owned, ack_id, AppendResult("duplicate", owned.rev))
            else:
                rest.add(update, ack_id)
        self._load.charge(owned, rest.events, rest.cost)
        if not rest.events:
            owned.accepted_seq = max(owned.accepted_seq, last_seq)
            self._duplicates.answer(owned)
            self._load.release_if_low(owned)
        elif rest.first_seq == last_seq + 1 and rest.attempts <= MAX_ATTEMPTS:
            queue.appendleft(rest)
        else:
            self._refuse(queue, rest, gap_error(last_seq + 1))

    def _split(self, queue: deque[PendingUpdates], slot: PendingUpdates) -> None:
        """Send each update alone when one brings too much, so that only that one is refused."""
        self._load.settle(slot)
        for update, ack_id in reversed(slot.entries()):
            alone = PendingUpdates(slot.owned, update.seq or 0, slot.attempts)
            alone.add(update, ack_id)
            self._load.charge(slot.owned, alone.events, alone.cost)
            queue.appendleft(alone)

    def _recover(
        self, partition: int, queue: deque[PendingUpdates], not_ours: list[PendingUpdates]
    ) -> None:
        held = [slot for slot in not_ours if self._sessions.holds(slot.owned)]
        if held:
            try:
                self._reconciler.reclaim(partition, [slot.owned for slot in held])
            except ServiceError:
                log.warning("reclaim failed", extra={"action": "reclaim_failed"})
        for slot in reversed(not_ours):
            slot.attempts += 1
            if slot.owned.lost:
                self._refuse(queue, slot, lost_error(slot.owned))
            elif not self._sessions.holds(slot.owned):
                self._refuse(queue, slot, errors.SessionNotFound())
            elif slot.attempts > MAX_ATTEMPTS:
                self._refuse(queue, slot, errors.StoreUnavailable())
            else:
                queue.appendleft(slot)

    def _refuse(
        self, queue: deque[PendingUpdates], slot: PendingUpdates, error: ServiceError
    ) -> None:
        """Fail these updates and those that must not be stored after them.

        Those behind it were not refused for themselves: where the error says that an update can never be
        stored, they only leave a gap.
        """
        owned = slot.owned
        behind: list[Entry] = []
        self._load.settle(slot)
        if slot.numbered or owned.lost:
            for other in [s for s in queue if s.owned is owned and (s.numbered or owned.lost)]:
                queue.remove(other)
                behind += other.entries()
                self._load.settle(other)
                if self._open.get(owned) is other:
                    del self._open[owned]
            owned.accepted_seq = owned.last_seq
        for _, ack_id in slot.entries():
            self._answers.answer(owned, ack_id, error)
        if not (owned.lost or error.retryable):
            error = gap_error(owned.last_seq + 1)
        for _, ack_id in behind:
            self._answers.answer(owned, ack_id, error)
        self._duplicates.answer(owned, error)
        self._load.release_if_low(owned)

    def _refuse_all(
        self, queue: deque[PendingUpdates], batch: list[PendingUpdates], error: ServiceError
    ) -> None:
        for slot in batch:
            self._refuse(queue, slot, error)
