"""What `make test` samples and `make test-long` (`pytest --whole`) does whole.

A sample is smaller, never absent: what it is about still fails with it when it is broken. `sampled` chooses a size,
`only_whole` marks those of several parameters that a sample leaves out.
"""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

T = TypeVar("T")

_is_whole = False


def make_whole() -> None:
    """From now on nothing is sampled; before any test is collected."""
    global _is_whole
    _is_whole = True


def sampled(whole: T, sample: T) -> T:
    """`sampled(10_000, 1_000)`: a number, a list of parameters, or whatever else has a size."""
    return whole if _is_whole else sample


def only_whole(*parameters: Any) -> list[Any]:
    """`params=["eventlet", *only_whole("gevent")]`: where the code that is tested is the same for all of them."""
    return [pytest.param(one, marks=pytest.mark.whole) for one in parameters]
