"""The one way tests wait: for a condition, with a bound. Nothing sleeps for a guessed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    predicate: Callable[[], T], timeout_s: float = 5.0, *, every_s: float = 0.02, what: str = ""
) -> T:
    """The first true answer of `predicate`; AssertionError naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"{what or getattr(predicate, '__name__', 'condition')}: "
                f"not within {timeout_s} s, last answer {answer!r}"
            )
        time.sleep(every_s)
