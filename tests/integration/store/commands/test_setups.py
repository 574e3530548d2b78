"""Setups at the store: versions, undo and redo."""

from __future__ import annotations

import pytest

from service import errors
from service.manager.manager import SessionManager
from service.sessions.model import Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.told import told

A, B = "host-aaaa", "host-bbbb"


def test_setup_versions_undo_and_redo(manager: SessionManager, own: Registration) -> None:
    """Each change is a new version; undo and redo are changes too; the device is sent each."""
    assert manager.update_setup("d1", {"a": 1, "e": []}).version == 1
    assert manager.patch_setup("d1", {"b": {"c": None, "d": 2}}).setup == {
        "a": 1,
        "e": [],
        "b": {"d": 2},
    }
    undone = manager.undo_setup("d1")
    assert (undone.setup, undone.version, undone.undo, undone.redo) == ({"a": 1, "e": []}, 3, 1, 1)
    assert manager.redo_setup("d1").setup == {"a": 1, "e": [], "b": {"d": 2}}
    manager.undo_setup("d1")
    manager.update_setup("d1", [])
    with pytest.raises(errors.Conflict):
        manager.redo_setup("d1")
    assert told(manager).count(("emit", "aaaa.1", "setup")) == 6


def test_setup_undo_is_bounded_and_ends(manager: SessionManager, own: Registration) -> None:
    """A hundred steps back, no more; one step before the first setup there is none."""
    for i in range(105):
        manager.update_setup("d1", i)
    for i in range(100):
        assert manager.undo_setup("d1").setup == 103 - i
    with pytest.raises(errors.Conflict):
        manager.undo_setup("d1")


def test_setup_version_that_is_not_the_present_one_is_refused(
    manager: SessionManager, own: Registration
) -> None:
    """Optimistic concurrency: the second of two writers with the same version is refused."""
    manager.update_setup("d1", {"a": 1}, version=0)
    with pytest.raises(errors.PreconditionFailed):
        manager.update_setup("d1", {"a": 2}, version=0)
    with pytest.raises(errors.PreconditionFailed):
        manager.undo_setup("d1", version=7)
    assert manager.get_setup("d1").setup == {"a": 1}


def test_setup_reported_version_tells_whether_the_device_is_in_sync(
    store: RedisSessionStore, manager: SessionManager, own: Registration
) -> None:
    """`in_sync` follows what the device says it runs."""
    manager.update_setup("d1", {"a": 1})
    assert manager.get_session("d1")["in_sync"] is False  # type: ignore[index]
    store.setups.reported("d1", own.generation, 1)
    assert manager.get_session("d1")["in_sync"] is True  # type: ignore[index]
    with pytest.raises(errors.StaleGeneration):
        store.setups.reported("d1", own.generation - 1, 1)


def test_scripts_that_redis_forgot_are_taught_again(
    store: RedisSessionStore, own: Registration
) -> None:
    """A restarted Redis knows no script: the call that finds out does its work all the same."""
    store.runner.client.script_flush()
    again = store.ownership.register("d1", node_id=B, sid="bbbb.9")
    assert again.generation > own.generation
    assert store.index.summaries(["d1"])[0]["node_id"] == B  # type: ignore[index]
