"""Write-behind: numbers, acks after the answer, seq, bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from service import errors
from service.errors import ServiceError
from service.live.ingest import backpressure
from service.live.ingest.ingest import Ingest
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.observability.metrics import Metrics
from service.schema import limits
from service.sessions.model import AppendPart, AppendResult
from service.tasks import ThreadTasks


class Sample(NamedTuple):
    key: str
    value_ts: bytes
    feed: bytes


@dataclass
class Update:
    samples: list[Sample]
    seq: int | None = None
    bytes_in: int = 20


def update(seq: int | None = None, key: str = "speed", count: int = 1) -> Update:
    samples = [
        Sample(key, b"[%d,1.0]" % n, b'["%s",%d,1.0]' % (key.encode(), n)) for n in range(count)
    ]
    return Update(samples, seq)


class InlineTasks(ThreadTasks):
    """Everything at once, nothing waits: a test decides when a flush happens."""

    def spawn(self, function: Any, *args: Any) -> None:
        function(*args)

    def sleep(self, seconds: float) -> None:
        pass


@dataclass
class FakeStore:
    """Answers from a script; what is left out is `ok` with a running rev."""

    answers: list[Any] = field(default_factory=list)
    calls: list[tuple[int, int, list[AppendPart]]] = field(default_factory=list)
    rev: int = 0

    def append(self, partition, writer_id, number, parts):
        self.calls.append((partition, number, parts))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return [AppendResult(*word) for word in answer]
        results = []
        for part in parts:
            self.rev += part.count
            results.append(AppendResult("ok", self.rev))
        return results


class Bench:
    def __init__(self, **options: Any) -> None:
        self.store = FakeStore()
        self.standing = Standing(renew_s=2.0)
        self.sessions = OwnedSessions()
        self.metrics = Metrics()
        self.lost: list[OwnedSession] = []
        self.held: list[tuple[str, str]] = []
        self.deleted: list[OwnedSession] = []
        self.reclaimed: list[OwnedSession] = []
        self.answers: list[Any] = []
        self.refused: list[tuple[str, str]] = []
        self._asked = 0
        self.ingest = Ingest(
            self.store,
            self.sessions,
            InlineTasks(),
            self.standing,
            "node-1",
            flush_interval_s=0.01,
            reconciler=self,
            answers=self,
            sockets=self,
            metrics=self.metrics,
            **options,
        )

    # -- Reconciler

    def reclaim(self, partition: int, claims: list[OwnedSession]) -> None:
        self.reclaimed.extend(claims)
        for owned in self.deleted:
            self.sessions.drop(owned, "deleted")

    def lose(self, owned: OwnedSession, word: str) -> None:
        assert word == "superseded"
        self.lost.append(owned)

    # -- Flow

    def hold(self, sid: str) -> None:
        self.held.append((sid, "hold"))

    def release(self, sid: str) -> None:
        self.held.append((sid, f"release at {self.sessions.of(sid.removeprefix('sid-')).waiting}"))

    def own(self, session_id: str = "d1", partition: int = 0, last_seq: int = 0) -> OwnedSession:
        owned = OwnedSession(session_id, f"sid-{session_id}", partition, 5, last_seq=last_seq)
        self.sessions.add(owned)
        return owned

    def add(self, owned: OwnedSession, some: Update) -> None:
        self._asked += 1
        self.ingest.add(owned, some, self._asked)

    # -- UpdateAnswers

    def acked(self, owned: OwnedSession, acks: list[tuple[int, int]]) -> None:
        self.answers += [AppendResult("ok", rev) for _, rev in acks]

    def answer(
        self, owned: OwnedSession, ack_id: int | None, result: AppendResult | ServiceError
    ) -> None:
        if ack_id is None:
            assert isinstance(result, ServiceError)
            self.refused.append((owned.session_id, result.code))
        else:
            self.answers.append(result)

    def words(self) -> list[str]:
        return [a.word if isinstance(a, AppendResult) else a.code for a in self.answers]


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
    assert (parts[0].generation, parts[0].count, parts[0].seq_from) == (5, 3, None)


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
    assert bench.store.calls[0][2][0].count == 1
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
    bench.add(owned, update())
    bench.ingest.kick()

    assert bench.words() == ["stale_generation"]
    assert bench.lost == [owned]
    with pytest.raises(errors.StaleGeneration):
        bench.add(owned, update())


def test_missing_is_reclaimed_and_sent_under_a_new_number(bench):
    first, second = bench.own("d1"), bench.own("d2")
    bench.store.answers = [[("missing", 0), ("ok", 1)]]
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
    with bench.standing.flush(0) as unanswered:
        if away:
            unanswered()
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
        assert sum(part.count for part in parts) <= 10
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


def test_update_without_ack_is_told_when_it_is_refused_only():
    """A device that wants no acks still hears of what was not stored."""
    bench = Bench()
    owned = bench.own()
    bench.ingest.add(owned, update(), None)
    bench.ingest.kick()
    assert bench.refused == []
    bench.store.answers.append([AppendResult("stale")])
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
    with standing.flush(0) as unanswered:
        unanswered()
        with standing.flush(1):
            pass
        assert standing.is_away
        assert not standing.ok
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
