"""One node over a feed in memory, in simulated time."""

from __future__ import annotations

import pytest

from tests.support.nodes.live_fakes import FakeFeed, Node, SimulatedTasks


@pytest.fixture
def tasks() -> SimulatedTasks:
    return SimulatedTasks()


@pytest.fixture
def feed(tasks: SimulatedTasks) -> FakeFeed:
    return FakeFeed(tasks)


@pytest.fixture
def node(tasks: SimulatedTasks, feed: FakeFeed) -> Node:
    return Node(tasks, feed)
