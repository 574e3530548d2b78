"""Flights of flushes: sent again until Redis answers, ever more rarely, and those alone that had no answer."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.live.ingest import flights
from service.live.ingest.flights import Flight, Flights
from service.live.ingest.refusals import lost_error, word_error
from service.live.ownership.owned import OwnedSession
from service.sessions.model import AppendResult


class Bench:
    """A store that answers for a partition once it was asked so often."""

    def __init__(self, **answers_after: int) -> None:
        self.left = {int(name[1:]): count for name, count in answers_after.items()}
        self.asked: list[list[tuple[int, int]]] = []
        self.pauses: list[float] = []
        self.unanswered: list[int] = []
        self.ended: list[int] = []
        self.flights = Flights(
            self,  # type: ignore[arg-type]
            SimpleNamespace(unanswered=self.unanswered.append, ended=self.ended.extend),  # type: ignore[arg-type]
            "n1",
            self.pauses.append,
        )

    def append(self, partition: int, writer: str, number: int, parts: Any) -> list[AppendResult]:
        answer = self.append_all(writer, [(partition, number, parts)])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def append_all(self, writer: str, batches: Any) -> list[list[AppendResult] | Exception]:
        self.asked.append([(partition, number) for partition, number, _ in batches])
        found: list[list[AppendResult] | Exception] = []
        for partition, _, _ in batches:
            self.left[partition] -= 1
            is_away = self.left[partition] >= 0
            found.append(errors.StoreUnavailable() if is_away else [AppendResult("ok", 1)])
        return found

    def send(self, *partitions: int) -> list[int]:
        sent = [Flight(one, 10 + one, deque(), [], []) for one in partitions]
        return [flight.partition for flight, _ in self.flights.send(sent)]


def test_flights_without_an_answer_are_sent_again_under_their_numbers() -> None:
    bench = Bench(p0=0, p1=2, p2=1)
    assert bench.send(0, 1, 2) == [0, 2, 1]
    assert bench.asked == [[(0, 10), (1, 11), (2, 12)], [(1, 11), (2, 12)], [(1, 11)]]
    assert bench.flights.repeats == 3
    assert bench.unanswered == [1, 2, 1], "the node knows that Redis does not answer"
    assert bench.ended == [0, 1, 2]


def test_flights_that_end_in_any_way_wait_no_more() -> None:
    bench = Bench(p3=1)

    def end(_: float) -> None:
        raise ZeroDivisionError

    bench.flights._sleep = end
    with pytest.raises(ZeroDivisionError):
        bench.send(3)
    assert (bench.unanswered, bench.ended) == ([3], [3])


def test_redis_that_is_away_is_asked_ever_more_rarely_and_soon_when_it_is_back() -> None:
    bench = Bench(p0=20)
    assert bench.send(0) == [0]
    assert len(bench.pauses) == 20
    assert flights.FIRST_PAUSE_S / 2 <= bench.pauses[0] <= 1.5 * flights.FIRST_PAUSE_S
    assert min(bench.pauses[-5:]) >= flights.LAST_PAUSE_S / 2
    assert max(bench.pauses) <= 1.5 * flights.LAST_PAUSE_S


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("deleted", "session_not_found"),
        ("superseded", "stale_generation"),
        ("too_many_keys", "too_large"),
        ("too_large", "too_large"),
        ("what", "internal"),
    ],
)
def test_device_learns_why_its_update_was_refused(word: str, code: str) -> None:
    owned = OwnedSession("d1", "s1", 0, 1)
    if word in ("deleted", "superseded"):
        owned.lost = word
        assert lost_error(owned).code == code
    else:
        assert word_error(word).code == code
