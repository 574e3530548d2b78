"""Write-behind: numbers, acks after the answer, seq."""

from __future__ import annotations

import pytest

from service import errors
from service.errors import ServiceError
from service.sessions.model import AppendResult
from tests.support.benches.ingest import Bench, update


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_add_before_the_flush_is_not_acked(bench):
    owned = bench.own()
    bench.add(owned, update())

    assert bench.answers == []
    assert owned.waiting == 1


def test_flush_acks_each_update_with_its_own_rev(bench):
    owned = bench.own()
    bench.add(owned, update(count=3))
    bench.add(owned, update(count=2))
    bench.ingest.kick()

    assert bench.answers == [AppendResult("ok", 3), AppendResult("ok", 5)]
    assert owned.rev == 5
    assert owned.waiting == 0
    assert bench.ingest.buffered_bytes == 0


def test_flush_makes_one_part_per_session_with_variadic_keys(bench):
    first, second = bench.own("d1"), bench.own("d2")
    bench.add(first, update(key="a"))
    bench.add(second, update(key="a"))
    bench.add(first, update(key="b"))
    bench.add(first, update(key="a"))
    bench.ingest.kick()

    [(_, _, parts)] = bench.store.calls
    assert [part.session_id for part in parts] == ["d1", "d2"]
    assert parts[0].keys == {"a": [b"[0,1.0]", b"[0,1.0]"], "b": [b"[0,1.0]"]}
    assert parts[0].samples_json == b'[["a",0,1.0],["b",0,1.0],["a",0,1.0]]'
    assert (parts[0].generation, parts[0].samples, parts[0].seq_from) == (5, 3, None)


def test_flush_without_an_answer_repeats_the_same_number(bench):
    bench.store.answers = [errors.StoreUnavailable(), errors.StoreUnavailable(), None]
    bench.add(bench.own(), update())
    bench.ingest.kick()

    numbers = [number for _, number, _ in bench.store.calls]
    assert numbers == [1, 1, 1]
    assert bench.store.calls[0][2] is bench.store.calls[2][2]
    assert bench.words() == ["ok"]


def test_flush_numbers_grow_per_partition(bench):
    first, second = bench.own("d1", partition=0), bench.own("d2", partition=1)
    for _ in range(2):
        bench.add(first, update())
        bench.add(second, update())
        bench.ingest.kick()

    assert [(p, n) for p, n, _ in bench.store.calls] == [(0, 1), (1, 1), (0, 2), (1, 2)]


def test_partitions_that_wait_go_in_one_trip(bench):
    for partition in range(5):
        bench.add(bench.own(f"d{partition}", partition=partition), update())
    bench.ingest.kick()

    assert bench.store.trips == [[0, 1, 2, 3, 4]]
    assert [answer.word for answer in bench.answers] == ["ok"] * 5
    bench.ingest.kick()
    assert len(bench.store.trips) == 1


@pytest.mark.parametrize("error", [errors.Overloaded(), ValueError("a defect")])
def test_partition_that_is_refused_holds_no_other_up(bench, error):
    first, second = bench.own("d1", partition=0), bench.own("d2", partition=1)
    bench.store.answers = [error]
    bench.add(first, update())
    bench.add(second, update())
    bench.ingest.kick()

    refused, stored = bench.answers
    assert refused.code == ("overloaded" if isinstance(error, ServiceError) else "internal")
    assert stored.word == "ok"
    assert bench.ingest.buffered_bytes == 0


def test_defect_in_one_partition_holds_no_other_up(bench, monkeypatch):
    first, second = bench.own("d1", partition=0), bench.own("d2", partition=1)
    bench.store.answers = [[("missing", 0)]]
    monkeypatch.setattr(bench, "reclaim", lambda *_: {}["a defect"])
    bench.add(first, update())
    bench.add(second, update())
    bench.ingest.kick()

    assert [answer.word for answer in bench.answers] == ["ok"]


def test_partition_without_an_answer_is_sent_again_under_its_number(bench):
    first, second = bench.own("d1", partition=0), bench.own("d2", partition=1)
    bench.store.answers = [None, errors.StoreUnavailable(), errors.StoreUnavailable()]
    bench.add(first, update())
    bench.add(second, update())
    bench.ingest.kick()

    assert [(p, n) for p, n, _ in bench.store.calls] == [(0, 1), (1, 1), (1, 1), (1, 1)]
    assert [answer.word for answer in bench.answers] == ["ok", "ok"]
    assert bench.ingest.repeats == 2
    assert not bench.standing.is_away


def test_seq_in_order_goes_as_a_range(bench):
    owned = bench.own(last_seq=4)
    bench.add(owned, update(seq=5))
    bench.add(owned, update(seq=6))
    bench.ingest.kick()

    [(_, _, [part])] = bench.store.calls
    assert (part.seq_from, part.seq_to) == (5, 6)
    assert owned.last_seq == 6


def test_seq_gap_is_refused_and_nothing_stored(bench):
    owned = bench.own(last_seq=4)
    with pytest.raises(errors.Conflict) as refused:
        bench.add(owned, update(seq=7))

    assert refused.value.fields["expected_seq"] == 5
    bench.ingest.kick()
    assert bench.store.calls == []


def test_seq_already_stored_is_a_duplicate_at_once(bench):
    owned = bench.own(last_seq=4)
    bench.add(owned, update(seq=4))

    assert bench.words() == ["duplicate"]


def test_seq_still_in_the_buffer_is_a_duplicate_after_the_flush(bench):
    owned = bench.own()
    bench.add(owned, update(seq=1))
    bench.add(owned, update(seq=1))
    assert bench.words() == []

    bench.ingest.kick()
    assert bench.words() == ["ok", "duplicate"]
    assert bench.store.calls[0][2][0].samples == 1
    assert bench.ingest.buffered_bytes == 0


def test_numbered_and_plain_updates_do_not_share_a_part(bench):
    owned = bench.own()
    bench.add(owned, update(seq=1))
    bench.add(owned, update())
    bench.add(owned, update(seq=2))
    bench.ingest.kick()

    assert [parts[0].seq_from for _, _, parts in bench.store.calls] == [1, None, 2]
    assert bench.words() == ["ok", "ok", "ok"]


def test_conflict_in_redis_refuses_what_follows(bench):
    """No later number is stored after an earlier one was refused."""
    owned = bench.own(last_seq=4)
    bench.store.answers = [[("conflict", 2)]]
    bench.add(owned, update(seq=5))
    bench.add(owned, update())
    bench.add(owned, update(seq=6))
    bench.ingest.kick()

    assert bench.words() == ["conflict", "conflict", "ok"]
    assert bench.answers[0].fields["expected_seq"] == 3
    assert owned.accepted_seq == 2


def test_conflict_of_a_part_redis_has_half_of_sends_the_rest(bench):
    owned = bench.own(last_seq=4)
    bench.store.answers = [[("conflict", 5)]]
    bench.add(owned, update(seq=5))
    bench.add(owned, update(seq=6))
    bench.ingest.kick()
    bench.ingest.kick()

    assert bench.words() == ["duplicate", "ok"]
    assert bench.store.calls[1][2][0].seq_from == 6


def test_overloaded_refuses_and_lets_the_same_seq_come_again(bench):
    owned = bench.own()
    bench.store.answers = [errors.Overloaded()]
    bench.add(owned, update(seq=1))
    bench.ingest.kick()
    bench.add(owned, update(seq=1))
    bench.ingest.kick()

    assert bench.words() == ["overloaded", "ok"]


def test_stale_ends_the_claim(bench):
    owned = bench.own()
    bench.store.answers = [[("stale", 0)]]
    bench.superseded.append(owned)
    bench.add(owned, update())
    bench.ingest.kick()

    assert bench.words() == ["stale_generation"]
    with pytest.raises(errors.StaleGeneration):
        bench.add(owned, update())


@pytest.mark.parametrize("word", ["missing", "stale"])
def test_what_redis_does_not_know_as_ours_is_reclaimed_and_sent_under_a_new_number(bench, word):
    """Redis came back empty, or as it was before the register."""
    first, second = bench.own("d1"), bench.own("d2")
    bench.store.answers = [[(word, 0), ("ok", 1)]]
    bench.add(first, update())
    bench.add(second, update())
    bench.ingest.kick()
    bench.ingest.kick()

    assert bench.reclaimed == [first]
    assert [(n, [p.session_id for p in parts]) for _, n, parts in bench.store.calls] == [
        (1, ["d1", "d2"]),
        (2, ["d1"]),
    ]
    assert bench.words() == ["ok", "ok"]


def test_missing_of_a_deleted_session_is_not_found(bench):
    owned = bench.own()
    bench.store.answers = [[("missing", 0)]]
    bench.add(owned, update())
    bench.deleted.append(owned)
    bench.ingest.kick()

    assert bench.words() == ["session_not_found"]


def test_missing_again_and_again_gives_up(bench):
    bench.store.answers = [[("missing", 0)]] * 10
    bench.add(bench.own(), update())
    for _ in range(10):
        bench.ingest.kick()

    assert bench.words() == ["store_unavailable"]
