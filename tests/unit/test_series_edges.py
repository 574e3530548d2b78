"""Series at their edges: which samples are within the time that is asked for, and where intervals begin."""

from __future__ import annotations

import json

import pytest

from service.sessions.series import Series


def page(*samples: tuple[object, float]) -> list[str]:
    return [json.dumps(sample) for sample in samples]


@pytest.mark.parametrize("step_us", [0, 1_000_000])
def test_series_is_from_since_on_and_before_until(step_us: int) -> None:
    series = Series(100, since=10.0, until=20.0, step_us=step_us, aggregate="last")
    series.add(page((2, 10.0), (3, 19.999), (4, 20.0), (1, 9.999)))
    assert [value for value, _ in series.points()] == [2, 3]
    assert (series.oldest, series.kept, series.is_cut) == (9.999, 4, False)


def test_intervals_begin_at_multiples_of_the_step() -> None:
    series = Series(100, step_us=10_000_000, aggregate="count")
    series.add(page((1, 19.9), (1, 20.0), ("x", 25.0), (1, 29.999), (1, 30.0)))
    assert series.points() == [(1, 10.0), (3, 20.0), (1, 30.0)]


def test_newest_points_are_kept_and_it_is_said_that_there_are_older_ones() -> None:
    for step_us in (0, 1_000_000):
        series = Series(3, step_us=step_us, aggregate="last")
        for at in range(20):
            series.add(page((at, float(at))))
        assert series.is_cut
        series.add(page((-1, 2.0)))  # late
        assert [value for value, _ in series.points()] == [17, 18, 19]
        assert series.is_cut
        assert (series.oldest, series.kept) == (0.0, 21)


def test_of_the_same_time_the_later_sample_counts() -> None:
    series = Series(3, step_us=1_000_000, aggregate="last")
    series.add(page((1, 5.5), (2, 5.5), (3, 5.4)))
    assert series.points() == [(2, 5.0)]


def test_true_and_false_are_numbers_and_texts_are_none() -> None:
    series = Series(3, step_us=1_000_000, aggregate="avg")
    series.add(page((True, 5.0), (False, 5.1), ("x", 5.2), (None, 6.0)))
    assert series.points() == [(0.5, 5.0)]


def test_intervals_before_1970_and_across_it_are_as_long_as_others() -> None:
    series = Series(100, step_us=100_000_000, aggregate="count")
    series.add(page(*((1, ts) for ts in (-101.0, -100.0, -1.0, -0.5, 0.0, 99.9, 100.0))))
    assert series.points() == [(1, -200.0), (3, -100.0), (2, 0.0), (1, 100.0)]


def test_value_that_is_far_off_changes_only_its_own_interval() -> None:
    values = (1, 2, -9, 2**64 - 1, 1e308, 100, 2**53 + 1)
    for aggregate in ("min", "max", "last", "avg"):
        series = Series(100, step_us=1_000_000, aggregate=aggregate)
        series.add(page(*((value, float(at)) for at, value in enumerate(values))))
        found = [value for value, _ in series.points()]
        assert found == ([*map(float, values)] if aggregate == "avg" else [*values])


def test_step_longer_than_what_is_asked_for_makes_one_point_of_what_is_within() -> None:
    series = Series(100, since=10.0, until=20.0, step_us=86_400_000_000, aggregate="count")
    series.add(page(*((1, float(ts)) for ts in range(5, 25))))
    assert series.points() == [(10, 0.0)]


@pytest.mark.parametrize("step_us", [0, 1_000_000])
def test_time_that_ends_before_it_begins_has_no_points(step_us: int) -> None:
    series = Series(100, since=20.0, until=10.0, step_us=step_us)
    series.add(page((1, 15.0), (2, 20.0), (3, 10.0)))
    assert (series.points(), series.kept, series.is_cut) == ([], 3, False)
