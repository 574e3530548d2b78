"""The share of strangers in the turns of a loop that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.transport.turns import LEAST, MOST, PIECE_S, Turns


class Loop:
    """Tasks are numbers; what is parked goes on when it is woken."""

    def __init__(self) -> None:
        self.timers: list[Callable[[], object]] = []
        self.running = 0
        self.parked: list[int] = []
        self.done: list[int] = []

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        self.timers.append(function)

    def current(self) -> int:
        return self.running

    def park(self) -> None:
        self.parked.append(self.running)

    def wake(self, task: int) -> None:
        self.parked.remove(task)
        self.done.append(task)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)

    def turn(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            timer()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def come(loop: Loop, turns: Turns, *tasks: int) -> None:
    for task in tasks:
        loop.running = task
        turns.enter()
        if task not in loop.parked:
            loop.done.append(task)


def test_no_more_than_a_share_is_done_in_a_turn_and_in_order() -> None:
    loop = Loop()
    turns = Turns(loop, now=Clock())  # type: ignore[arg-type]
    come(loop, turns, 1, 2, 3, 4, 5)
    assert loop.done == [1, 2]
    loop.turn()
    assert loop.done == [1, 2, 3, 4]
    come(loop, turns, 6)
    loop.turn()
    assert loop.done == [1, 2, 3, 4, 5, 6]


def test_who_comes_later_does_not_overtake_who_waits() -> None:
    loop = Loop()
    turns = Turns(loop, now=Clock())  # type: ignore[arg-type]
    come(loop, turns, 1, 2, 3, 4, 5)
    loop.turn()
    come(loop, turns, 6)
    loop.turn()
    assert loop.done == [1, 2, 3, 4, 5, 6]


def test_long_turn_has_room_for_as_much_again() -> None:
    loop, clock = Loop(), Clock()
    turns = Turns(loop, now=clock)  # type: ignore[arg-type]
    come(loop, turns, *range(100))
    clock.now += 20 * PIECE_S
    loop.turn()
    assert len(loop.done) == LEAST + 10
    clock.now += 1000.0
    loop.turn()
    assert len(loop.done) == LEAST + 10 + MOST
    loop.turn()
    assert len(loop.done) == LEAST + 10 + MOST + LEAST


def test_callback_of_the_loop_is_called_when_there_is_room() -> None:
    loop = Loop()
    turns = Turns(loop, now=Clock())  # type: ignore[arg-type]
    called: list[int] = []
    assert [turns.enter_or(lambda: called.append(1)) for _ in range(3)] == [True, True, False]
    assert not called
    loop.turn()
    assert called == [1]


def test_loop_is_left_alone_when_nobody_comes() -> None:
    loop = Loop()
    turns = Turns(loop, now=Clock())  # type: ignore[arg-type]
    come(loop, turns, 1)
    loop.turn()
    loop.turn()
    assert not loop.timers
