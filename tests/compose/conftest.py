"""The one stack of all tests of the compose file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, find_compose, has_engine


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three nodes and two workers, all ready; nothing is left of them at the end."""
    compose = find_compose()
    if compose is None or not has_engine():
        pytest.exit("There is no Docker engine with compose here: nothing was tested.", 3)
    settings = {"MUSTER_SESSIONS__HISTORY": '{"default": 20000, "keys": {}}'}
    made = Stack(tmp_path_factory.mktemp("compose"), compose, settings)
    try:
        made.build()
        made.up(node=3, worker=2)
        yield made
    finally:
        made.down()
        assert made.containers(running=False) == []


@pytest.fixture(scope="session")
def admin(stack: Stack) -> str:
    return stack.token("admin")
