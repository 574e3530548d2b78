"""The wheel of deadlines."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from heapq import heappop, heappush

import pytest
from greenlet import getcurrent, greenlet

from service.transport.wheel import AGAIN_S, SLOT_S, SLOTS, TURN_DEADLINES, Due, Wheel


class Deadline:
    slot: set[Due] | None = None

    def __init__(self, then: list[float]) -> None:
        self.seen: list[float] = []
        self._then = then

    def on_due(self, now_s: float) -> float | None:
        self.seen.append(now_s)
        return self._then.pop(0) if self._then else None


def test_wheel_calls_at_or_shortly_after_each_deadline() -> None:
    wheel = Wheel(lambda seconds: None)
    one = Deadline([5.0, 5.0, 9.3])
    wheel.put(one, 1.0)
    while wheel.now_s < 20:
        wheel.turn(0.1)
    assert len(one.seen) == 4
    for seen, due in zip(one.seen, [1.0, 5.0, 5.0, 9.3], strict=True):
        assert due <= seen < due + 2 * SLOT_S + 0.11
    assert one.slot is None


def test_wheel_forgets_what_was_dropped_or_put_elsewhere() -> None:
    wheel = Wheel(lambda seconds: None)
    dropped, moved = Deadline([]), Deadline([])
    for one in (dropped, moved):
        wheel.put(one, 1.0)
    wheel.drop(dropped)
    wheel.drop(dropped)
    wheel.put(moved, 3.0)
    wheel.turn(2.0)
    assert (dropped.seen, moved.seen) == ([], [])
    wheel.turn(2.0)
    assert moved.seen == [4.0]


def test_wheel_comes_back_early_for_what_is_further_than_one_turn() -> None:
    """Who has such a deadline gives it again."""
    wheel = Wheel(lambda seconds: None)
    far = 3 * SLOTS * SLOT_S
    one = Deadline([far, far, far, far])
    wheel.put(one, far)
    while wheel.now_s < far + 1:
        wheel.turn(SLOT_S)
    assert one.seen[-1] >= far
    assert len(one.seen) < 6


def test_wheel_survives_what_a_deadline_raises_and_calls_it_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What failed once is not forgotten: nothing else would ever end a dead client."""

    class Bad(Deadline):
        def on_due(self, now_s: float) -> float | None:
            next_s = super().on_due(now_s)
            if len(self.seen) < 3:
                raise RuntimeError("on purpose")
            return next_s

    wheel, good, bad = Wheel(lambda seconds: None), Deadline([]), Bad([])
    wheel.put(bad, 0.5)
    wheel.put(good, 0.5)
    for _ in range(20):
        wheel.turn(SLOT_S)
    assert good.seen == [0.5]
    assert "on purpose" in caplog.text
    assert bad.seen == [0.5, 0.5 + AGAIN_S, 0.5 + 2 * AGAIN_S]
    assert bad.slot is None


def test_deadline_may_drop_and_move_others_of_its_slot_while_that_is_called() -> None:
    wheel = Wheel(lambda seconds: None)
    slot: list[Deadline] = []

    class Meddler(Deadline):
        def on_due(self, now_s: float) -> float | None:
            if not any(one.seen for one in slot):
                others = [one for one in slot if one is not self]
                for one in others[:3]:
                    wheel.drop(one)
                for one in others[3:6]:
                    wheel.put(one, 0.25)  # as soon as possible
                for one in others[6:]:
                    wheel.put(one, 3.0)
            return super().on_due(now_s)

    a_turn_later = 0.5 + SLOTS * SLOT_S
    slot += [Meddler([a_turn_later] * 3) for _ in range(10)]
    for one in slot:
        wheel.put(one, 0.5)
    for _ in range(SLOTS + 4):
        wheel.turn(SLOT_S)
    first = sorted(one.seen[0] for one in slot if one.seen)
    assert first == [0.5, 0.75, 0.75, 0.75, 3.0, 3.0, 3.0]
    assert all(a_turn_later in one.seen for one in slot if one.seen)


def test_wheel_lets_others_run_between_many_deadlines() -> None:
    slept: list[float] = []
    wheel = Wheel(slept.append)
    some = [Deadline([]) for _ in range(2 * TURN_DEADLINES + 1)]
    for one in some:
        wheel.put(one, 0.5)
    wheel.turn(1.0)
    assert slept == [0, 0]
    assert all(one.seen == [1.0] for one in some)


class Loop:
    """Tasks on a clock that goes on while all of them sleep; a process that is paused wakes late."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.early_s = 0.0
        self.wakes: list[float] = []
        self._sleeping: list[tuple[float, int, greenlet]] = []
        self._count = itertools.count()
        monkeypatch.setattr("service.transport.wheel.time.monotonic", lambda: self.now)
        monkeypatch.setattr("service.tasks._TICKS_AT_S", 0.0)
        self.wheel = Wheel(self.sleep, self.spawn)
        self.spawn(self.wheel.run)

    def sleep(self, seconds: float) -> None:
        early_s = self.early_s if seconds > 0.1 else 0.0
        at = self.now + max(1e-9, seconds - early_s)
        heappush(self._sleeping, (at, next(self._count), getcurrent()))
        getcurrent().parent.switch()

    def spawn(self, task: Callable[[], None]) -> None:
        heappush(self._sleeping, (self.now, next(self._count), greenlet(task)))

    def run(self, until: float) -> None:
        while self._sleeping and self._sleeping[0][0] <= until:
            at, _, task = heappop(self._sleeping)
            self.now = max(self.now, at)
            self.wakes.append(self.now)
            task.switch()
        self.now = max(self.now, until)

    @property
    def tasks(self) -> int:
        return len(self._sleeping)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    return Loop(monkeypatch)


def test_wheel_stands_still_while_the_process_did_not_run(loop: Loop) -> None:
    """A node that was stopped for ten seconds finds nobody dead."""
    loop.run(2.5)
    loop.now += 10
    assert loop.wheel.now_s < 4  # for those that run before the wheel notices
    one = Deadline([])
    loop.wheel.put(one, 4.0)
    loop.run(13.4)
    assert (loop.wheel.now_s, one.seen) == (pytest.approx(3.4), [])
    loop.run(14.9)
    assert one.seen == [4.0]
    assert loop.wakes == [0, 1, 2, 12.5, 13, 14], "at the ticks of other tasks, as before"


def test_wheel_goes_on_in_a_process_that_is_late_each_time(loop: Loop) -> None:
    """By whole seconds, so that it never is anywhere else between two ticks."""
    one = Deadline([])
    loop.wheel.put(one, 5.0)
    loop.run(0)
    for _ in range(20):
        loop.now += 2
        loop.run(loop.now)
    assert one.seen


def test_wheel_stands_still_while_the_process_stops_amid_a_turn(loop: Loop) -> None:
    class Stopped(Deadline):
        def on_due(self, now_s: float) -> float | None:
            if sum(map(len, (one.seen for one in some))) == TURN_DEADLINES:
                loop.now += 30
            return super().on_due(now_s)

    some = [Stopped([8.0]) for _ in range(2 * TURN_DEADLINES)]
    for one in some:
        loop.wheel.put(one, 3.0)
    loop.run(34)
    assert all(one.seen == [3.0] for one in some)
    assert loop.wheel.now_s <= 5
    loop.run(39)
    assert all(one.seen == [3.0, 8.0] for one in some)


def test_wheel_wakes_once_for_a_slot_and_seldom_for_empty_ones(loop: Loop) -> None:
    some = [Deadline([]) for _ in range(100)]
    for number, one in enumerate(some):
        loop.wheel.put(one, 3.01 + number / 500)
    loop.run(6)
    assert loop.wakes == [0, 1, 2, 3, 3.25, 4, 5, 6]
    assert all(one.seen == [3.25] for one in some)


def test_wheel_that_sleeps_wakes_for_deadlines_that_come_meanwhile(loop: Loop) -> None:
    loop.run(5.1)
    some = [Deadline([]) for _ in range(3)]
    for one, at in zip(some, [5.5, 5.7, 5.2], strict=True):
        loop.wheel.put(one, at)
    loop.run(5.2)
    assert loop.wheel.now_s == pytest.approx(5.2)
    loop.run(20)
    assert [one.seen for one in some] == [[5.5], [5.75], [5.25]]
    assert loop.tasks == 1, "those that slept too long have ended"


@pytest.mark.parametrize("early_s", [0.0, 0.005])  # some loops are
def test_wheel_turns_at_the_ticks_of_other_tasks(
    monkeypatch: pytest.MonkeyPatch, early_s: float
) -> None:
    """One wake-up serves them all."""
    loop = Loop(monkeypatch)
    loop.early_s = early_s
    monkeypatch.setattr("service.tasks._TICKS_AT_S", 0.7)
    loop.run(5)
    assert loop.wakes[1:] == pytest.approx([0.7, 1.7, 2.7, 3.7, 4.7], abs=0.006)
