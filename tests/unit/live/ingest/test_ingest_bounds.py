"""Write-behind: bounds, outages, and that nothing is left counted."""

from __future__ import annotations

import pytest

from service import errors
from service.live.ingest import backpressure
from service.live.ingest.pending import PendingUpdates
from service.live.standing import Standing
from service.schema import limits
from service.sessions.model import AppendResult
from tests.support.benches.ingest import Bench, update


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_too_many_keys_refuses_only_the_update_that_brings_them(bench):
    owned = bench.own()
    bench.store.answers = [[("too_many_keys", 0)], None, [("too_many_keys", 0)], None]
    for key in ("a", "b", "c"):
        bench.add(owned, update(key=key))
    for _ in range(3):
        bench.ingest.kick()

    assert bench.words() == ["ok", "too_large", "ok"]


@pytest.mark.parametrize(
    ("away", "error"), [(False, errors.Overloaded), (True, errors.StoreUnavailable)]
)
def test_full_buffer_names_the_cause(away, error):
    bench = Bench(max_buffer_bytes=1500)
    owned = bench.own()
    bench.add(owned, update())
    bench.add(owned, update())
    if away:
        bench.standing.unanswered(0)
    with pytest.raises(error):
        bench.add(owned, update())

    bench.ingest.kick()
    bench.add(owned, update())


def test_calls_are_bounded_in_samples_and_sessions(bench, monkeypatch):
    monkeypatch.setattr(limits, "CALL_SAMPLES", 10)
    monkeypatch.setattr(limits, "CALL_SESSIONS", 3)
    for n in range(5):
        owned = bench.own(f"d{n}")
        for _ in range(4):
            bench.add(owned, update(count=2))
    assert bench.ingest.flush(1)

    for _, _, parts in bench.store.calls:
        assert len(parts) <= 3
        assert sum(part.samples for part in parts) <= 10
    assert bench.words() == ["ok"] * 20


def test_flush_reports_when_time_runs_out(bench):
    bench.add(bench.own(), update())
    bench.ingest._flying.add(0)  # an answer that never comes

    assert not bench.ingest.flush(0.0)


def test_unknown_failure_is_internal_and_the_next_flush_works(bench):
    owned = bench.own()
    bench.store.answers = [RuntimeError("bug")]
    bench.add(owned, update())
    bench.ingest.kick()
    bench.add(owned, update())
    bench.ingest.kick()

    assert bench.words() == ["internal", "ok"]


def test_flush_that_cannot_even_be_made_is_answered_and_those_of_other_partitions_fly(
    bench, monkeypatch
):
    """What was taken out of the queue for it would be lost without a word, and count as waiting for ever."""

    def part(slot):
        if slot.owned is broken:
            raise RuntimeError("bug")
        return original(slot)

    original = PendingUpdates.part
    monkeypatch.setattr(PendingUpdates, "part", part)
    broken, other = bench.own("d1"), bench.own("d2", partition=1)
    bench.ingest.intake._pulse._is_kicking = True  # both wait for one flush
    bench.add(broken, update())
    bench.add(other, update())
    bench.ingest.kick()
    assert bench.words() == ["internal", "ok"]
    assert (broken.waiting, bench.ingest.buffered_bytes) == (0, 0)
    assert bench.ingest.flush(0.0)
    monkeypatch.undo()
    bench.add(broken, update())
    bench.ingest.kick()
    assert bench.words() == ["internal", "ok", "ok"]


def test_update_without_ack_is_told_when_it_is_refused_only():
    """A device that wants no acks still hears of what was not stored."""
    bench = Bench()
    owned = bench.own()
    bench.ingest.add(owned, update(), None)
    bench.ingest.kick()
    assert bench.refused == []
    bench.store.answers.append([AppendResult("stale")])
    bench.superseded.append(owned)
    bench.ingest.add(owned, update(), None)
    bench.ingest.add(owned, update(), None)
    bench.ingest.kick()
    assert bench.refused == [("d1", "stale_generation")] * 2
    assert (owned.waiting, owned.waiting_bytes, bench.ingest.buffered_bytes) == (0, 0, 0)


def test_stored_samples_are_counted_once_per_flush():
    bench = Bench()
    first, second = bench.own("d1"), bench.own("d2")
    bench.add(first, update(count=3))
    bench.add(second, update(count=2))
    bench.ingest.kick()
    assert bench.metrics.samples.values[""] == 5
    assert bench.metrics.flush_samples._counts.count(1) == 1


@pytest.mark.parametrize("size", [20, backpressure.HOLD_BYTES // 4])
def test_session_with_too_much_waiting_is_held_until_half_of_it_is_stored(size):
    """Back-pressure: by number, and by bytes."""
    bench = Bench()
    owned, other = bench.own("d1"), bench.own("d2")
    added = 0
    while not bench.held:
        some = update()
        some.bytes_in = size
        bench.add(owned, some)
        added += 1
    assert added == (backpressure.HOLD_UPDATES if size == 20 else 2)
    bench.add(other, update())
    bench.add(owned, update())
    assert bench.held == [("sid-d1", "hold")]
    while owned.waiting:
        bench.ingest.kick()
    assert bench.held[1:] == [("sid-d1", f"release at {0 if size == 20 else 1}")]
    assert (owned.waiting_bytes, owned.is_held) == (0, False)


def test_duplicate_of_what_waits_counts_as_waiting_until_it_is_answered(bench):
    owned = bench.own()
    bench.add(owned, update(seq=1))
    bench.add(owned, update(seq=1))
    assert owned.waiting == 2
    bench.ingest.kick()
    assert bench.words() == ["ok", "duplicate"]
    assert (owned.waiting, owned.waiting_bytes, bench.ingest.buffered_bytes) == (0, 0, 0)


@pytest.mark.parametrize("word", ["stale", "too_many_keys", "conflict", "missing", "ok"])
def test_whatever_redis_says_nothing_is_left_counted(word):
    """The count of what waits is what holds sockets and refuses updates: it must not drift."""
    bench = Bench()
    owned = bench.own()
    for seq in (1, 2, 2, 3):
        bench.add(owned, update(seq=seq))
    bench.store.answers += [[AppendResult(word, 1)]] * 2
    for _ in range(6):
        bench.ingest.kick()
    assert len(bench.answers) == 4
    assert (owned.waiting, owned.waiting_bytes, bench.ingest.buffered_bytes) == (0, 0, 0)


@pytest.mark.parametrize(
    "ending",
    [None, errors.Overloaded(), errors.Internal(), errors.StaleGeneration(), ValueError("odd")],
    ids=repr,
)
def test_outage_ends_with_whatever_answer_the_repeated_flush_gets(bench, ending):
    """Also Redis that comes back full: the node takes clients again."""
    seen: list[bool] = []
    bench.store.answers = [errors.StoreUnavailable(), errors.StoreUnavailable(), ending]
    real = bench.store.append
    bench.store.append = lambda *given: (seen.append(bench.standing.ok), real(*given))[1]
    bench.add(bench.own(), update())
    bench.ingest.kick()
    assert seen == [True, False, False]
    assert bench.standing.ok


def test_answer_in_one_partition_does_not_hide_a_flush_that_waits_in_another() -> None:
    standing = Standing(renew_s=2.0)
    standing.unanswered(0)
    standing.ended([1])
    assert standing.is_away
    assert not standing.ok
    standing.ended([0])
    assert standing.ok


def test_standing_is_over_when_renewals_are_not_answered() -> None:
    now_s = [100.0]
    standing = Standing(2.0, lambda: now_s[0])
    assert standing.ok
    now_s[0] += 5.1
    assert not standing.ok
    standing.renewed(now_s[0] - 0.5)
    assert standing.ok
    assert standing.age_s == pytest.approx(0.5)
