"""The wheel of deadlines."""

from __future__ import annotations

import pytest

from service.transport.wheel import SLOT_S, SLOTS, Due, Wheel


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


def test_wheel_survives_what_a_deadline_raises(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Deadline):
        def on_due(self, now_s: float) -> float | None:
            raise RuntimeError("on purpose")

    wheel, good = Wheel(lambda seconds: None), Deadline([])
    wheel.put(Bad([]), 0.5)
    wheel.put(good, 0.5)
    wheel.turn(2.0)
    assert len(good.seen) == 1
    assert "on purpose" in caplog.text


def test_wheel_stands_still_while_the_process_did_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that was stopped for ten seconds finds nobody dead."""
    now = [0.0]
    pauses = iter([0.25, 0.25, 10.0, 0.25])

    def sleep(seconds: float) -> None:
        pause = next(pauses, None)
        if pause is None:
            wheel.stop()
        else:
            now[0] += pause

    monkeypatch.setattr("service.transport.wheel.time.monotonic", lambda: now[0])
    wheel = Wheel(sleep)
    wheel.run()
    assert wheel.now_s == 1.0
