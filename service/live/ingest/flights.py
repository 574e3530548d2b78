"""Flights: the flushes of one or more partitions that go to Redis together, until each is answered.

One round trip, however many partitions wait: Redis and this node spend most of a small flush on the trip.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from service import errors
from service.live.ingest.pending import AppendStore, PendingUpdates
from service.live.standing import Standing
from service.sessions.model import AppendPart, AppendResult

#: Pauses while Redis does not answer: the first, doubled up to the last, s.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class Flight:
    """A numbered flush of one partition."""

    partition: int
    number: int
    queue: deque[PendingUpdates]
    batch: list[PendingUpdates]
    parts: list[AppendPart] = field(default_factory=list)
    sent_at: float = field(default_factory=time.monotonic)


class Flights:
    """Sends flights of this node again and again under their numbers until Redis answers.

    Args:
        sleep: gets seconds.
    """

    def __init__(
        self,
        store: AppendStore,
        standing: Standing,
        writer_id: str,
        sleep: Callable[[float], object],
    ) -> None:
        self._store = store
        self._standing = standing
        self._writer_id = writer_id
        self._sleep = sleep
        #: Flights that had to be sent again, since the start.
        self.repeats = 0

    def send(
        self, flights: list[Flight]
    ) -> Iterator[tuple[Flight, list[AppendResult] | Exception]]:
        """Send flights of different partitions; yield each with its answer, as soon as there is one."""
        partitions = [flight.partition for flight in flights]
        pause_s = FIRST_PAUSE_S
        try:
            while flights:
                later = []
                for flight, answer in zip(flights, self._ask(flights), strict=True):
                    if isinstance(answer, errors.StoreUnavailable):
                        self._standing.unanswered(flight.partition)
                        later.append(flight)
                    else:
                        yield flight, answer
                flights = later
                if later:
                    self.repeats += len(later)
                    self._sleep(pause_s * (0.5 + random.random()))
                    pause_s = min(2 * pause_s, LAST_PAUSE_S)
        finally:
            self._standing.ended(partitions)

    def _ask(self, flights: list[Flight]) -> list[list[AppendResult] | Exception]:
        try:
            if len(flights) == 1:
                [one] = flights
                return [self._store.append(one.partition, self._writer_id, one.number, one.parts)]
            batches = [(one.partition, one.number, one.parts) for one in flights]
            return self._store.append_all(self._writer_id, batches)
        except Exception as error:  # noqa: BLE001  the answer to all of them; reported or logged there
            return [error] * len(flights)
