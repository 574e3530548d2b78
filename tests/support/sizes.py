"""What `make test` samples and `make test-long` (`pytest --whole`) does whole.

A sample is smaller, never absent: what it is about still fails with it when it is broken.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")

_is_whole = False


def make_whole() -> None:
    """From now on nothing is sampled; before any test is collected."""
    global _is_whole
    _is_whole = True


def sampled(whole: T, sample: T) -> T:
    """`sampled(10_000, 1_000)`: a number, a list of parameters, or whatever else has a size."""
    return whole if _is_whole else sample
