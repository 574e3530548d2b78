"""Runs of updates that were read in C: joined as they come in, and looked at one by one where something is refused."""

from __future__ import annotations

import orjson
import pytest

from chaos.fuzz.readers import reader, stream_of
from service.live.ingest.pending import cost_of_all
from service.live.ownership.owned import OwnedSession
from service.native import Updates
from service.schema import limits
from service.sessions.model import AppendResult
from tests.support.benches.ingest import Bench, update


@pytest.fixture
def bench() -> Bench:
    return Bench()


def event(payload: bytes, ack: bytes = b"") -> bytes:
    return b'42%b["update_data",%b]' % (ack, payload)


def read(owned: OwnedSession, *events: bytes) -> list[Updates]:
    """What a connection of this session receives in one go; everything in it is read in C."""
    parser = reader().parser()
    parser.origin = (owned, orjson.dumps(owned.session_id))
    runs = [run for run in parser.feed(stream_of(b"\n".join(events))) if isinstance(run, Updates)]
    assert sum(run.events for run in runs) == len(events)
    return runs


def add(bench: Bench, owned: OwnedSession, *events: bytes) -> None:
    for run in read(owned, *events):
        assert bench.ingest.intake.has_room(owned, run, cost_of_all(run))
        bench.ingest.intake.add_all(owned, run, cost_of_all(run))


def test_each_update_of_two_runs_is_acked_with_its_own_rev(bench: Bench) -> None:
    owned = bench.own()
    add(
        bench,
        owned,
        event(b'{"key":"a","value":1,"ts":1}', b"1"),
        event(b'{"data":{"b":2,"a":3},"ts":1}'),
    )
    add(
        bench,
        owned,
        event(b'{"key":"a","value":4,"ts":1}', b"2"),
        event(b'{"key":"c","value":5,"ts":1}', b"3"),
    )
    assert bench.ingest.flush(1)

    [(_, _, [part])] = bench.store.calls
    assert part.keys == {"a": [b"[1,1]", b"[3,1]", b"[4,1]"], "b": [b"[2,1]"], "c": [b"[5,1]"]}
    assert part.samples_json == b'[["a",1,1],["b",2,1],["a",3,1],["a",4,1],["c",5,1]]'
    assert bench.answers == [AppendResult("ok", 1), AppendResult("ok", 4), AppendResult("ok", 5)]
    assert (owned.waiting, owned.waiting_bytes, bench.ingest.buffered_bytes) == (0, 0, 0)


def test_run_that_redis_has_half_of_is_stored_to_its_end(bench: Bench) -> None:
    owned = bench.own()
    bench.store.answers = [[("conflict", 2)]]
    add(
        bench,
        owned,
        *(event(b'{"key":"a","value":%d,"ts":1,"seq":%d}' % (n, n), b"7") for n in range(1, 5)),
    )
    assert bench.ingest.flush(1)

    assert [part.keys for _, _, [part] in bench.store.calls[1:]] == [{"a": [b"[3,1]", b"[4,1]"]}]
    assert [(part.seq_from, part.seq_to) for _, _, [part] in bench.store.calls] == [(1, 4), (3, 4)]
    assert bench.words() == ["duplicate", "duplicate", "ok", "ok"]
    assert (owned.last_seq, owned.waiting, bench.ingest.buffered_bytes) == (4, 0, 0)


def test_of_a_run_only_the_update_that_brings_too_much_is_refused(bench: Bench) -> None:
    owned = bench.own()
    bench.store.answers = [[("too_many_keys",)], None, [("too_many_keys",)], None]
    add(
        bench,
        owned,
        *(event(b'{"key":"%b","value":1,"ts":1}' % key, b"7") for key in (b"a", b"b", b"c")),
    )
    assert bench.ingest.flush(1)

    assert bench.words() == ["ok", "too_large", "ok"]
    assert [list(part.keys) for _, _, [part] in bench.store.calls[1:]] == [["a"], ["b"], ["c"]]
    assert (owned.waiting, bench.ingest.buffered_bytes) == (0, 0)


def test_update_of_a_run_without_an_ack_is_answered_when_it_is_refused(bench: Bench) -> None:
    owned = bench.own()
    bench.store.answers = [[("stale",)]]
    bench.superseded.append(owned)
    add(bench, owned, event(b'{"key":"a","value":1}'), event(b'{"key":"a","value":2}', b"7"))
    assert bench.ingest.flush(1)

    assert bench.refused == [("d1", "stale_generation")]
    assert bench.words() == ["stale_generation"]


def test_sample_keeps_the_time_at_which_it_came_when_it_is_sent_again(bench: Bench) -> None:
    owned = bench.own()
    bench.store.answers = [[("too_large",)]]
    add(bench, owned, event(b'{"key":"a","value":1}'), event(b'{"key":"a","value":2}'))
    assert bench.ingest.flush(1)

    [joined, first, second] = [part.keys["a"] for _, _, [part] in bench.store.calls]
    assert joined == first + second
    assert orjson.loads(first[0])[1] > 1e9


def test_runs_fill_calls_to_their_bound_and_no_further(bench: Bench) -> None:
    owned = bench.own()
    row = b'["a",1,1]'
    payload = b'{"samples":[%b]}' % b",".join([row] * 100)
    for _ in range(3):
        add(bench, owned, *[event(payload, b"7")] * 10)
    assert bench.ingest.flush(1)

    counts = [part.samples for _, _, [part] in bench.store.calls]
    assert sum(counts) == 3000
    assert max(counts) <= limits.CALL_SAMPLES
    assert len(counts) == 2
    assert [answer.value for answer in bench.answers] == list(range(100, 3001, 100))


def test_event_that_is_mostly_space_is_not_kept_as_it_came() -> None:
    """A node counts what samples take; frames are kept until they are stored."""
    parser = reader().parser()
    parser.origin = (None, b'"d1"')
    [text] = parser.feed(stream_of(event(b'{"key":"a","value":1%b}' % (b" " * 1000))))
    assert isinstance(text, str)


def test_update_behind_numbers_that_another_way_brought_is_stored_and_no_duplicate(
    bench: Bench,
) -> None:
    """Redis has 1 to 5 by then, as where a device sends over HTTP too; 1 and 2 wait here, and 6 follows."""
    owned = bench.own()
    bench.store.answers = [[("conflict", 5)]]
    bench.add(owned, update(seq=1))
    bench.add(owned, update(seq=2))
    owned.accepted_seq = 5  # what an answer of Redis leaves behind
    bench.add(owned, update(seq=6))
    assert bench.ingest.flush(1)

    assert bench.words() == ["duplicate", "duplicate", "ok"]
    assert [part.seq_from for _, _, [part] in bench.store.calls] == [1, 6]
