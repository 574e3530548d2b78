"""What is answered to the updates behind one that is refused."""

from __future__ import annotations

import pytest

from service import errors
from tests.unit.live.ingest.test_ingest import Bench, update


def test_update_that_can_never_be_stored_leaves_a_gap_before_those_behind_it() -> None:
    """They were not refused for themselves: who drops what is `too_large` must keep them."""
    bench = Bench()
    owned = bench.own()
    bench.store.answers = [[("too_many_keys", 0)], None, [("too_many_keys", 0)]]
    for seq in (1, 2, 3, 4):
        bench.add(owned, update(seq=seq))
    bench.add(owned, update(seq=3))  # again, before its answer
    bench.ingest.kick()
    bench.ingest.kick()
    assert bench.words() == ["ok", "too_large", "conflict", "conflict", "conflict"]
    assert [one.fields["expected_seq"] for one in bench.answers[2:]] == [2, 2, 2]
    assert owned.accepted_seq == owned.last_seq == 1


@pytest.mark.parametrize(
    ("failure", "codes"),
    [
        (errors.Overloaded(), ["overloaded", "overloaded"]),
        (RuntimeError("a defect"), ["internal", "conflict"]),
    ],
)
def test_updates_behind_a_failed_flush_may_come_again(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, codes: list[str]
) -> None:
    monkeypatch.setattr("service.schema.limits.CALL_SAMPLES", 1)
    bench = Bench()
    owned = bench.own()
    bench.store.answers = [failure]
    for seq in (1, 2):
        bench.add(owned, update(seq=seq))
    bench.ingest.kick()
    assert bench.words() == codes
    assert bench.ingest.buffered_bytes == 0
    bench.add(owned, update(seq=1))
    bench.ingest.kick()
    assert bench.words()[2:] == ["ok"]
