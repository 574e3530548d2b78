"""Versions of a setup in the archive, and back."""

from __future__ import annotations

import pytest

from service import errors
from service.archiving.archiver import Archiver
from service.manager.manager import SessionManager
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import Silent, come_and_go


def test_versions_of_a_setup_are_told_from_the_archive_and_after_it(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """Reading them brings nothing back."""
    manager = SessionManager(store, Silent(), archiver=archiver)
    come_and_go(store, "d1")
    for setup in ("a", "b", "c"):
        manager.update_setup("d1", setup)
    manager.undo_setup("d1")
    expected = {0: None, 1: "a", 2: "b", 3: "c", 4: "b"}
    assert [done.word for done in archiver.archive_sessions(["d1"])] == ["archived"]
    assert {n: manager.setup_of_version("d1", n) for n in expected} == expected
    with pytest.raises(errors.VersionNotFound):
        manager.setup_of_version("d1", 5)
    assert store.index.read("d1") is None
    archiver.restore("d1")
    assert {n: manager.setup_of_version("d1", n) for n in expected} == expected
    manager.redo_setup("d1")
    assert manager.setup_of_version("d1", 3) == "c"
