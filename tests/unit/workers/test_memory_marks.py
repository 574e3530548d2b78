"""Marks of memory: from which reading on it is short, and when it is relieved."""

from __future__ import annotations

import pytest

from service.config.settings import MemorySettings
from workers.memory import Reading, is_high, is_relieved

MARKS = MemorySettings(min_available_percent=10, redis_high_percent=80, redis_low_percent=70)


@pytest.mark.parametrize(
    ("available", "redis", "high"),
    [(9.9, 0.0, True), (10.0, 79.9, False), (10.0, 80.0, True), (50.0, None, False)],
)
def test_memory_is_short_at_its_marks(available: float, redis: float | None, high: bool) -> None:
    assert is_high(Reading(available, redis), MARKS) is high


@pytest.mark.parametrize(
    ("began", "now", "relieved"),
    [
        (Reading(9.0, 50.0), Reading(14.9, 50.0), False),
        (Reading(9.0, 50.0), Reading(15.0, 79.0), True),  # Redis was not the matter
        (Reading(50.0, 80.0), Reading(50.0, 70.1), False),
        (Reading(50.0, 80.0), Reading(12.0, 70.0), True),  # nor the machine here
        (Reading(9.0, 90.0), Reading(20.0, 75.0), False),
        (Reading(9.0, 90.0), Reading(12.0, 60.0), False),
    ],
)
def test_memory_is_relieved_with_a_distance(began: Reading, now: Reading, relieved: bool) -> None:
    assert is_relieved(now, began, MARKS) is relieved


def test_mark_near_all_of_it_can_be_reached() -> None:
    marks = MemorySettings(min_available_percent=80)
    assert is_relieved(Reading(100.0, None), Reading(50.0, None), marks)
