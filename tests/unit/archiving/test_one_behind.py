"""The last step of a batch beside the first ones of the next."""

from __future__ import annotations

import threading

import pytest

from service.acting import Actor, acting_for, actor
from service.archiving.read_ahead import OneBehind

PATIENCE_S = 10.0


def test_caller_goes_on_and_steps_stay_in_order() -> None:
    may_end, done = threading.Event(), []

    def step(number: int) -> None:
        assert may_end.wait(PATIENCE_S)
        done.append(number)

    with OneBehind() as behind:
        behind.run(step, 1)
        assert done == []  # the caller is here, the step is not done
        may_end.set()
        for number in (2, 3):
            behind.run(step, number)
        behind.wait()
        assert done == [1, 2, 3]


def test_error_of_a_step_ends_the_caller_before_the_next_one() -> None:
    done = []

    def fail() -> None:
        raise ValueError

    with OneBehind() as behind:
        behind.run(fail)
        with pytest.raises(ValueError):
            behind.run(done.append, 2)
    assert done == []
    with OneBehind() as behind:
        behind.run(fail)
        with pytest.raises(ValueError):
            behind.wait()


def test_nothing_runs_any_more_when_it_is_left_by_an_error() -> None:
    begun, done = threading.Event(), []

    def step() -> None:
        assert begun.wait(PATIENCE_S)
        done.append("step")

    with pytest.raises(KeyError), OneBehind() as behind:
        behind.run(step)
        begun.set()
        raise KeyError
    assert done == ["step"]


def test_step_acts_for_who_called() -> None:
    found = []
    with OneBehind() as behind, acting_for(Actor("ada", "operator", "rest")):
        behind.run(lambda: found.append(actor().who))
        behind.wait()
    assert found == ["ada"]
