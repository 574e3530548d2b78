"""Series of samples that come late, of times that are no whole intervals, and of each aggregate."""

from __future__ import annotations

import json

import pytest

from service.sessions.series import Aggregate, Series


def page(*samples: tuple[object, float]) -> list[str]:
    return [json.dumps(sample) for sample in samples]


def test_late_sample_counts_in_the_oldest_interval_that_is_shown_and_in_none_before() -> None:
    series = Series(3, step_us=1_000_000, aggregate="count")
    series.add(page(*((at, float(at)) for at in range(7))))
    series.add(page((0, 4.5), (0, 3.9), (0, 6.5)))
    assert series.points() == [(2, 4.0), (1, 5.0), (2, 6.0)]
    assert series.is_cut


@pytest.mark.parametrize("ts", [1.001, 2.003, 4.007, 1_700_000_000.009])
def test_time_of_an_interval_is_in_that_interval(ts: float) -> None:
    """Although a time in binary may be a little less than what it says."""
    series = Series(3, step_us=1_000, aggregate="last")
    series.add(page((1, ts)))
    assert series.points() == [(1, ts)]


@pytest.mark.parametrize("value", [0.1, 0.7, 3.3, 0.001, -0.3])
def test_average_of_the_same_is_the_same(value: float) -> None:
    for count in range(1, 40):
        series = Series(3, step_us=1_000_000, aggregate="avg")
        series.add(page(*[(value, 1.0)] * count))
        assert series.points() == [(value, 1.0)]


@pytest.mark.parametrize(
    ("aggregate", "point"),
    [("avg", 3.0), ("min", 1), ("max", 6), ("last", "text"), ("count", 5)],
)
def test_aggregate_is_of_all_samples_of_its_interval(aggregate: Aggregate, point: object) -> None:
    series = Series(3, step_us=10_000_000, aggregate=aggregate)
    series.add(page((2, 11.0), (6, 13.0), ("text", 19.0)))
    series.add(page((1, 12.0), (3, 15.0)))
    assert series.points() == [(point, 10.0)]
