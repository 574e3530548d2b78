"""Reading sessions for the archive, past redis-py's pipelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import come_and_go
from tests.support.nodes.stores import make_store


@pytest.fixture
def store(redis_factory: Callable[..., redis.Redis], key_prefix: str) -> RedisSessionStore:
    client = redis_factory(decode_responses=True, max_connections=1)
    return make_store(client, key_prefix, flapping_registers=0)


def test_capture_is_all_of_each_session_in_the_order_asked(store: RedisSessionStore) -> None:
    """Histories are whole and are those of the session they stand with; unknown ids are None."""
    come_and_go(store, "d1", ("a", 1), ("b:c", {"x": ["],[", None]}), ("a", "ü"))
    come_and_go(store, "d2", sid="aaaa.2")
    come_and_go(store, "d3", ("a", 3), sid="aaaa.3")
    third, nobody, first, second = store.captures.read(["d3", "nobody", "d1", "d2"])
    assert nobody == "missing"
    assert not isinstance(first, str)
    assert not isinstance(second, str)
    assert not isinstance(third, str)
    assert first.histories == {
        "a": '[[1,1.5],["ü",1.5]]'.encode(),
        "b:c": b'[[{"x":["],[",null]},1.5]]',
    }
    assert second.histories == {}
    assert third.histories == {"a": b"[[3,1.5]]"}
    entire = store.index.read("d1", entire=True)
    assert entire is not None
    assert (first.snapshot.fields, first.snapshot.timeline) == (entire.fields, entire.timeline)


def test_capture_that_fails_midway_leaves_no_answer_for_the_next_caller(
    store: RedisSessionStore,
) -> None:
    """The one connection of the pool still has replies to read then; nobody else may get them."""
    come_and_go(store, "d1", ("a", 1), ("b", 2), ("c", 3))
    key = store.keys.history("d1", "b")
    store.runner.client.delete(key)
    store.runner.client.set(key, "no list")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        store.captures.read(["d1"])
    assert store.runner.client.get(key) == "no list"


def test_capture_goes_on_after_a_connection_was_lost(
    store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that breaks off is done again on a new connection, within the store's patience."""
    come_and_go(store, "d1", ("a", 1), ("b", 2))
    connection_class = store.runner.client.connection_pool.connection_class
    real = connection_class.read_response
    left = [2]

    def break_off(connection: redis.Connection, **options: Any) -> Any:
        if options.get("disable_decoding"):
            left[0] -= 1
            if left[0] == 1:
                raise redis.ConnectionError("gone")
        return real(connection, **options)

    monkeypatch.setattr(connection_class, "read_response", break_off)
    (capture,) = store.captures.read(["d1"])
    assert not isinstance(capture, str)
    assert capture.histories == {"a": b"[[1,1.5]]", "b": b"[[2,1.5]]"}
    assert left[0] <= 0
