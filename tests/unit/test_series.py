"""Series compared with a plain reference: by time, whatever the order of arrival, and bounded."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sessions.series import Aggregate, Series

MOST = 5

values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**64 - 1),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.just([1, {"a": None}]),
)
times = st.one_of(st.integers(-50, 50).map(float), st.floats(-100, 2e9, allow_nan=False))
samples = st.lists(st.tuples(values, times), max_size=60)
limits = st.one_of(st.none(), st.integers(-60, 60).map(float))


def series(found: list[tuple[Any, float]], **options: Any) -> Series:
    made = Series(MOST, **options)
    pages = [orjson.dumps(one).decode() for one in found]
    for begin in range(0, len(pages), 7):
        made.add(pages[begin : begin + 7])
    return made


def reference(
    found: list[tuple[Any, float]],
    since: float | None,
    until: float | None,
    step_us: int,
    aggregate: Aggregate,
) -> list[tuple[Any, float]]:
    """All points, with everything in memory."""
    within = [
        (ts, order, value)
        for order, (value, ts) in enumerate(found)
        if (since is None or ts >= since) and (until is None or ts < until)
    ]
    if not step_us:
        return [(value, ts) for ts, _, value in sorted(within, key=lambda one: one[:2])]
    intervals: dict[int, list[Any]] = {}
    for one in within:
        intervals.setdefault(round(one[0] * 1e6) // step_us, []).append(one)
    points = []
    for at, some in sorted(intervals.items()):
        numbers = [value for _, _, value in some if isinstance(value, int | float)]
        if aggregate == "count":
            points.append((len(some), at * step_us / 1e6))
        elif aggregate == "last":
            points.append((max(some, key=lambda one: one[:2])[2], at * step_us / 1e6))
        elif numbers:
            exact = sum(map(Fraction, numbers)) / len(numbers)
            value = {"min": min(numbers), "max": max(numbers), "avg": float(exact)}[aggregate]
            points.append((value, at * step_us / 1e6))
    return points


@given(
    found=samples,
    since=limits,
    until=limits,
    step_us=st.sampled_from([0, 1_000, 1_000_000, 7_300_000, 10**12]),
    aggregate=st.sampled_from(get_args(Aggregate)),
)
def test_points_are_those_of_the_reference(
    found: list[tuple[Any, float]],
    since: float | None,
    until: float | None,
    step_us: int,
    aggregate: Aggregate,
) -> None:
    made = series(found, since=since, until=until, step_us=step_us, aggregate=aggregate)
    points, expected = made.points(), reference(found, since, until, step_us, aggregate)
    assert made.is_cut == (len(expected) > MOST)
    assert [ts for _, ts in points] == [ts for _, ts in expected[-MOST:]]
    assert made.kept == len(found)
    assert made.oldest == min((ts for _, ts in found), default=None)
    for (value, _), (wanted, _) in zip(points, expected[-MOST:], strict=True):
        if aggregate == "avg" and step_us:
            scale = max(abs(float(one)) for one, _ in found if isinstance(one, int | float))
            assert math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-12 * scale)
        else:
            assert value == wanted
            assert isinstance(value, bool) == isinstance(wanted, bool) or step_us


def test_mean_is_never_outside_of_its_numbers_nor_infinite() -> None:
    for numbers in ([1e308, 1e308], [1.7e308, -1.7e308, 1.7e308], [0.1] * 10, [5e-324, 5e-324]):
        [(mean, _)] = series([(one, 0.0) for one in numbers], step_us=10**6).points()
        assert min(numbers) <= mean <= max(numbers)
    [(mean, _)] = series([(one, 0.0) for one in (True, False, 1, 0)], step_us=10**6).points()
    assert mean == 0.5


@pytest.mark.parametrize("step_us", [0, 1_000])
def test_memory_is_that_of_the_points(step_us: int) -> None:
    """The newest stay, also where they came first."""
    made = Series(100, step_us=step_us, aggregate="last")
    for begin in range(20_000, 0, -1000):
        made.add([f"[{ts},{ts}]" for ts in range(begin, begin - 1000, -1)])
        assert len(made._samples) + len(made._intervals) <= 1200
    assert [value for value, _ in made.points()] == list(range(19_901, 20_001))
    assert made.is_cut
