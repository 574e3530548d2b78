"""Pairs of runs that differ by one thing: the one keeps a promise, the other one breaks it."""

from __future__ import annotations

import re

import pytest

from chaos.checks import ALL
from tests.unit.chaos.checks import (
    edges_of_commands,
    edges_of_connections,
    edges_of_dashboards,
    edges_of_more,
    edges_of_people,
    edges_of_setups,
    edges_of_several,
)
from tests.unit.chaos.checks.sound import sound
from tests.unit.chaos.checks.twins import between

FILES = (
    *(edges_of_people, edges_of_commands, edges_of_setups, edges_of_dashboards),
    *(edges_of_several, edges_of_more, edges_of_connections),
)
PAIRS = {
    promise: [pair for file in FILES for pair in file.PAIRS.get(promise, [])] for promise in ALL
}


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


def test_every_key_of_the_page_is_known_and_has_a_ttl_or_none() -> None:
    check = ALL["keys are documented, and have their TTL"]
    run = sound()
    whole = run.patterns
    for pattern, has_ttl in whole.items():
        key = re.sub(r"<[^>]+>", "x", pattern.replace("P:", "muster:").replace("{p}", "{3}"))
        run.patterns, run.keys = whole, {key: 0 if has_ttl else -1}
        assert check(run) == [], pattern
        run.patterns, run.keys = {pattern: has_ttl}, {key: -1 if has_ttl else 0}
        assert check(run) == [f"{key} has {'no' if has_ttl else 'a'} TTL"]
