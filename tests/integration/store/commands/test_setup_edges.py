"""Setups at their edges: who may change them, from which version on, when it was, and who sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from service import errors
from service.sessions.model import Registration
from service.sessions.store.store import RedisSessionStore


def test_former_connection_of_a_device_changes_no_setup(
    store: RedisSessionStore, own: Registration
) -> None:
    store.setups.put("d1", b'"its own"', generation=own.generation)
    for other in (own.generation - 1, own.generation + 1):
        with pytest.raises(errors.StaleGeneration):
            store.setups.put("d1", b'"late"', generation=other)
    state = store.setups.get("d1")
    assert (state.setup, state.version) == ("its own", 1)


def test_without_a_setup_the_version_is_0_and_no_other(
    store: RedisSessionStore, own: Registration
) -> None:
    with pytest.raises(errors.PreconditionFailed) as refused:
        store.setups.put("d1", b"1", expected_version=3)
    assert refused.value.fields["setup_version"] == 0
    with pytest.raises(errors.PreconditionFailed):
        store.setups.undo("d1", 3)
    assert store.setups.put("d1", b"1", expected_version=0).version == 1


def test_setup_has_the_time_of_its_decision_and_an_undo_its_own(
    store: RedisSessionStore, own: Registration
) -> None:
    begin = store.now_ms()
    assert store.setups.put("d1", b"1", timestamp_ms=begin - 1_000_000).timestamp_ms == (
        begin - 1_000_000
    )
    assert store.setups.undo("d1").timestamp_ms >= begin
    assert store.setups.put("d1", b"2").timestamp_ms >= begin


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda store, own: store.setups.put("d1", b"2"), ("2", "0")),
        (lambda store, own: store.setups.undo("d1"), ("2", "0")),
        (lambda store, own: store.setups.reported("d1", own.generation, 1), ("1", "1")),
    ],
    ids=["put", "undo", "reported"],
)
def test_every_change_is_shown(
    store: RedisSessionStore,
    client: redis.Redis,
    own: Registration,
    change: Callable[[RedisSessionStore, Registration], Any],
    shown: tuple[str, str],
) -> None:
    store.setups.put("d1", b"1")
    change(store, own)
    fields = client.xrevrange(store.keys.feed(0), count=1)[0][1]
    assert (fields["setup_version"], fields.get("reported_version", "0")) == shown
