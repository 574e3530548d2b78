"""Bursts: what leaves together, whatever the number and size of the frames."""

from __future__ import annotations

import itertools
import random

from service.transport.bursts import BURST_BYTES, FEW, LARGE_BYTES, take_burst


def by_the_rule(sizes: list[int]) -> int:
    """How many leave: the first, and those behind it that are not large and fit."""
    sums = itertools.accumulate(sizes)
    ends = (
        count
        for count, (size, whole) in enumerate(zip(sizes, sums, strict=True))
        if count and (whole > BURST_BYTES or size > LARGE_BYTES)
    )
    return next(ends, len(sizes))


def test_burst_has_as_many_frames_as_fit_and_none_that_is_large_but_the_first() -> None:
    draw = random.Random(1)
    for _ in range(3000):
        most = draw.choice([10, 2000, LARGE_BYTES, LARGE_BYTES + 1, BURST_BYTES + 1])
        sizes = [draw.randint(0, most) for _ in range(draw.choice([1, 2, 3, FEW, FEW + 1, 40]))]
        frames = [bytes([number]) * size for number, size in enumerate(sizes)]
        out = list(frames)
        burst = take_burst(out)
        count = by_the_rule(sizes)
        assert burst == b"".join(frames[:count]), sizes
        assert out == frames[count:]
