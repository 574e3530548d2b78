"""Which version a process says it is."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

import pytest

from service.version import installed_version


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """The other tests ask, too."""
    installed_version.cache_clear()
    yield
    installed_version.cache_clear()


def test_process_has_the_version_with_which_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed over it while it runs is not what runs."""
    monkeypatch.setattr(metadata, "version", lambda name: "1.0")
    assert installed_version() == "1.0"
    monkeypatch.setattr(metadata, "version", lambda name: "2.0")
    assert installed_version() == "1.0"
