"""Pairs of runs that differ by one thing: the one keeps a promise, the other one breaks it."""

from __future__ import annotations

import pytest

from chaos.checks import ALL
from tests.unit.chaos import (
    edges_of_commands,
    edges_of_dashboards,
    edges_of_people,
    edges_of_setups,
)
from tests.unit.chaos.sound import sound
from tests.unit.chaos.twins import between

FILES = (edges_of_people, edges_of_commands, edges_of_setups, edges_of_dashboards)
PAIRS = {promise: pairs for file in FILES for promise, pairs in file.PAIRS.items()}


@pytest.mark.parametrize(
    ("promise", "number"),
    [(promise, number) for promise, pairs in PAIRS.items() for number in range(len(pairs))],
)
def test_check_tells_what_keeps_a_promise_from_what_breaks_it(promise: str, number: int) -> None:
    keeps, breaks = PAIRS[promise][number]
    kept, broken = sound(), sound()
    keeps(kept)
    breaks(broken)
    assert ALL[promise](kept) == []
    assert ALL[promise](broken) != []
    for is_first in (True, False):
        assert ALL[promise](between(kept, is_first=is_first)) == []
        assert ALL[promise](between(broken, is_first=is_first)) != []
