"""What a calm node does for each update, counted: times vary by half from run to run, calls do not."""

from __future__ import annotations

import pytest

from benchmarks.calls.__main__ import EVENTS, count

pytestmark = pytest.mark.processes

#: Of functions, in Python and C; there were 810.
MOST = 640


def test_update_of_a_calm_node_takes_few_calls() -> None:
    """Each update goes to Redis and to the dashboard by itself there."""
    (calls,) = count("calm")
    updates = calls[EVENTS[0]]
    assert updates >= 20, "of two seconds with 40 a second"
    assert calls.total() / updates <= MOST, calls.most_common(20)
