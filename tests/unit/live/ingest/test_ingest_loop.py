"""The flush of each interval, by itself; and what may wait for it."""

from __future__ import annotations

import pytest

from service import errors
from service.live.ingest.ingest import Ingest
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.observability.metrics import Metrics
from tests.support.benches.ingest import Bench, FakeStore, update
from tests.support.nodes.live_fakes import SimulatedTasks


class Answers:
    """Of updates, and the other ports that ingest has: nothing happens there."""

    def __init__(self, tasks: SimulatedTasks) -> None:
        self.tasks = tasks
        self.times: list[float] = []

    def acked(self, owned: OwnedSession, acks: list[tuple[int, int]]) -> None:
        self.times += [self.tasks.now] * len(acks)

    def __getattr__(self, name: str) -> object:
        return lambda *_: None


def test_updates_are_flushed_each_interval_until_the_end() -> None:
    tasks, sessions, store = SimulatedTasks(), OwnedSessions(), FakeStore()
    answers = Answers(tasks)
    owned = OwnedSession("d1", "s1", 0, 5)
    sessions.add(owned)
    ingest = Ingest(
        *(store, sessions, tasks, Standing(renew_s=2.0, monotonic=tasks.monotonic), "n1"),
        flush_interval_s=0.02,
        reconciler=answers,
        answers=answers,
        sockets=answers,
        metrics=Metrics(),
    )
    tasks.spawn(ingest.run)
    began = tasks.now
    for number in range(3):
        ingest.add(owned, update(), number)
        tasks.run(0.1)
    assert [round(at - began, 2) for at in answers.times] == [0.02, 0.12, 0.22]
    assert len(store.calls) == 3
    ingest.stop()
    tasks.run(1)
    assert tasks.count == 0


def test_what_is_read_just_before_a_flush_goes_with_it() -> None:
    """Between flushes a busy node leaves what devices send unread."""
    bench = Bench(read_waiting=lambda: bench.add(other, update()))
    owned, other = bench.own("d1"), bench.own("d2")
    bench.add(owned, update())
    bench.ingest._wait_and_kick()
    [(_, _, parts)] = bench.store.calls
    assert [part.session_id for part in parts] == ["d1", "d2"]


def test_duplicates_that_wait_for_their_first_are_bounded_too() -> None:
    """A device may repeat an update as often as it likes, and each repetition is answered later."""
    bench = Bench(max_buffer_bytes=10_000)
    owned = bench.own()
    bench.add(owned, update(seq=1))
    with pytest.raises(errors.Overloaded):
        for _ in range(1_000):
            bench.add(owned, update(seq=1))
    assert bench.ingest.buffered_bytes <= 10_000


def test_of_two_updates_of_which_one_brings_too_much_only_that_one_is_refused() -> None:
    bench = Bench()
    owned = bench.own()
    bench.store.answers = [[("too_many_keys", 0)], [("ok", 1)], [("too_many_keys", 0)]]
    bench.add(owned, update())
    bench.add(owned, update())
    for _ in range(3):
        bench.ingest.kick()
    stored, refused = bench.answers
    assert stored.word == "ok"
    assert isinstance(refused, errors.ServiceError)
    assert bench.ingest.buffered_bytes == 0
