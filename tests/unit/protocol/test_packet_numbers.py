"""Numbers of acks: in their range, and never one that is under way."""

from __future__ import annotations

import pytest

from service.protocol.packets import free_number


@pytest.mark.parametrize(
    ("wanted", "taken", "number"),
    [
        (3, set(), 3),
        (3, {3, 4}, 5),
        (6, set(), 6),
        (6, {6}, 1),
        (6, {6, 1, 2}, 3),
        (7, set(), 1),
        (7, {1}, 2),
        (0, set(), 1),
    ],
)
def test_next_free_number_follows_and_begins_again_behind_the_last(
    wanted: int, taken: set[int], number: int
) -> None:
    assert free_number(wanted, range(1, 7), taken) == number
