"""The stores that every promise of an ArchiveStore is tried on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.archive.file_store import FileArchiveStore
from service.archive.store import ArchiveStore
from service.archive.threads import ThreadedArchiveStore, native_calls


@pytest.fixture(params=["file-own-syncs", "file-shared-sync", "file-in-threads"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], ArchiveStore]:
    """Makes one more store, not open yet, on the same new and empty place."""

    def make() -> ArchiveStore:
        if request.param == "file-in-threads":
            store = FileArchiveStore(tmp_path / "archive")
            return ThreadedArchiveStore(store, native_calls("threading"))
        return FileArchiveStore(
            tmp_path / "archive", share_sync=request.param == "file-shared-sync" or False
        )

    return make


@pytest.fixture
def store(again: Callable[[], ArchiveStore]) -> ArchiveStore:
    """A store that is open."""
    made = again()
    made.open(made.claim())
    return made
