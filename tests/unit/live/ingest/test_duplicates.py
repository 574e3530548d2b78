"""Duplicates of updates that are not stored yet: each is answered by what became of the first of its number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.live.ingest.answers import Duplicates, SafeAnswers
from service.live.ingest.backpressure import Backpressure
from service.live.ownership.owned import OwnedSession

REFUSED = errors.StaleGeneration()


class Bench:
    def __init__(self) -> None:
        self.answered: list[tuple[int | None, Any]] = []
        self.load = Backpressure(SimpleNamespace())  # type: ignore[arg-type]
        answers = SafeAnswers(SimpleNamespace(answer=self._answer))  # type: ignore[arg-type]
        self.duplicates = Duplicates(answers, self.load)
        self.owned = OwnedSession("d1", "s1", 0, 1, rev=40, last_seq=2)
        for seq in (2, 3, 4):
            self.duplicates.add(self.owned, seq, 100, 10 + seq)

    def _answer(self, owned: OwnedSession, ack_id: int | None, result: Any) -> None:
        self.answered.append((ack_id, getattr(result, "word", result)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_duplicate_is_acked_once_its_number_is_stored(bench: Bench) -> None:
    bench.duplicates.answer(bench.owned)
    assert bench.answered == [(12, "duplicate")]
    assert (bench.owned.waiting, bench.owned.waiting_bytes, bench.load.bytes) == (2, 200, 200)
    bench.owned.last_seq = 4
    bench.duplicates.answer(bench.owned)
    assert bench.answered[1:] == [(13, "duplicate"), (14, "duplicate")]
    assert (bench.owned.waiting, bench.owned.waiting_bytes, bench.load.bytes) == (0, 0, 0)


def test_error_is_for_those_that_are_not_stored(bench: Bench) -> None:
    bench.owned.last_seq = 3
    bench.duplicates.answer(bench.owned, REFUSED)
    assert bench.answered == [(12, "duplicate"), (13, "duplicate"), (14, REFUSED)]
    assert bench.load.bytes == 0


def test_refused_update_without_an_ack_is_answered_and_a_stored_one_is_not(bench: Bench) -> None:
    bench.owned.last_seq = 5
    bench.duplicates.add(bench.owned, 5, 1, None)
    bench.duplicates.add(bench.owned, 6, 1, None)
    bench.duplicates.answer(bench.owned, REFUSED)
    assert bench.answered[-2:] == [(14, "duplicate"), (None, REFUSED)]
