"""Setups: to whom a change is sent, and one whose reply is lost."""

from __future__ import annotations

from typing import Any

import pytest

from service import errors
from service.sessions.model import Owner, Registration
from service.sessions.store.store import RedisSessionStore

A = "host-aaaa"


def test_change_is_for_the_socket_that_is_there(
    store: RedisSessionStore, own: Registration
) -> None:
    assert store.setups.put("d1", b"1").owner == Owner(A, "aaaa.1")
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "gone")
    assert store.setups.put("d1", b"2").owner is None
    assert store.setups.undo("d1").owner is None


def test_change_whose_reply_is_lost_is_made_once(
    store: RedisSessionStore, own: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked decides by the version whether to ask again."""
    runner: Any = store.setups._runner
    run, runs = runner.once, []

    def lost(call: Any, name: str) -> Any:
        run(call, name)
        runs.append(name)
        raise errors.StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(runner, "once", lost)
        with pytest.raises(errors.StoreUnavailable):
            store.setups.put("d1", b"1")
    assert runs == ["setup_put"]
    assert store.setups.get("d1").version == 1
