"""Samples at the store, and sessions that are written to without a connection."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import redis

from service import errors
from service.manager.manager import SessionManager
from service.sessions.model import Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import expire_all, make_store, part
from tests.support.told import Told
from tests.support.waiting import wait_until

A, B = "host-aaaa", "host-bbbb"


def test_append_history_never_exceeds_its_bound(
    store: RedisSessionStore, client: redis.Redis, own: Registration
) -> None:
    """A key's history has at most its configured size in Redis, newest last, whatever the batch."""
    for i in range(1, 8):
        samples = [("k", 10 * i + j) for j in range(3)] + [("long", 10 * i + j) for j in range(3)]
        store.samples.append(0, A, i, [part("d1", own.generation, *samples)])
        assert client.llen(store.keys.history("d1", "k")) <= 5
        assert client.llen(store.keys.history("d1", "long")) <= 8
    details = store.index.details("d1")
    assert details is not None
    assert [value for value, _ in details["data"]["k"]] == [61, 62, 70, 71, 72]
    assert [value for value, _ in details["data"]["long"]] == [50, 51, 52, 60, 61, 62, 70, 71, 72][
        1:
    ]
    assert details["telemetry"] == {"k": 72, "long": 72}


def test_append_same_number_again_answers_as_before_and_stores_nothing(
    store: RedisSessionStore, own: Registration
) -> None:
    """A flush repeated after a lost reply is harmless; the next number is stored."""
    first = store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))])
    before = store.index.get("d1"), store.samples.open_feed(0)
    assert store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))]) == first
    assert (store.index.get("d1"), store.samples.open_feed(0)) == before
    assert (
        store.samples.append(0, A, 2, [part("d1", own.generation, ("k", 1))])[0].value
        == first[0].value + 1
    )


def test_append_repeated_after_the_lease_was_over_stores_nothing(
    client: redis.Redis, key_prefix: str
) -> None:
    """A paused node whose flush was stored, and who was expired meanwhile, repeats it for nothing."""
    store = make_store(client, key_prefix, lease_ms=50)
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    batch = [part("d1", own.generation, ("k", 1))]
    first = store.samples.append(0, A, 7, batch)
    wait_until(lambda: expire_all(store) > 0, 3)
    assert store.samples.append(0, A, 7, batch) == first
    assert len(store.index.details("d1")["data"]["k"]) == 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("seq", "word", "value"),
    [
        ((4, 5), "ok", None),
        ((3, 4), "conflict", 3),
        ((5, 6), "conflict", 3),
        ((1, 2), "conflict", 3),
    ],
    ids=["next", "overlap", "gap", "old"],
)
def test_append_seq_must_follow_the_last(
    store: RedisSessionStore, own: Registration, seq: tuple[int, int], word: str, value: int | None
) -> None:
    """A counter that repeats or skips stores nothing and answers the last seq."""
    store.samples.append(
        0, A, 1, [part("d1", own.generation, ("k", 1), ("k", 2), ("k", 3), seq=(1, 3))]
    )
    result = store.samples.append(
        0, A, 2, [part("d1", own.generation, ("k", 8), ("k", 9), seq=seq)]
    )[0]
    assert result.word == word
    if value is not None:
        assert result.value == value
    stored = [sample[0] for sample in store.index.details("d1")["data"]["k"]]  # type: ignore[index]
    assert stored == ([1, 2, 3, 8, 9] if word == "ok" else [1, 2, 3])


def test_register_with_a_new_stream_starts_a_new_counter(
    store: RedisSessionStore, own: Registration
) -> None:
    """`last_seq` belongs to the stream: the same one goes on, a new one begins at 0."""
    first = store.ownership.register("s", node_id=A, sid="aaaa.2", stream="run 1")
    store.samples.append(
        0, A, 1, [part("s", first.generation, ("k", 1), seq=(1, 1), stream="run 1")]
    )
    assert store.ownership.register("s", node_id=B, sid="bbbb.2", stream="run 1").last_seq == 1
    assert store.ownership.register("s", node_id=A, sid="aaaa.3", stream="run 2").last_seq == 0


def test_register_again_on_the_same_socket_with_another_stream_starts_its_counter_again(
    store: RedisSessionStore,
) -> None:
    """The counter belongs to the stream, whichever socket names it."""
    own = store.ownership.register("s", node_id=A, sid="aaaa.2", stream="run 1", meta={"v": 1})
    store.samples.append(0, A, 1, [part("s", own.generation, ("k", 1), seq=(1, 1), stream="run 1")])
    again = store.ownership.register("s", node_id=A, sid="aaaa.2", stream="run 2")
    assert (again.same, again.last_seq, again.meta) == (True, 0, '{"v":1}')
    result = store.samples.append(
        0, A, 2, [part("s", own.generation, ("k", 2), seq=(1, 1), stream="run 2")]
    )
    assert result[0].word == "ok"


def test_append_too_many_data_keys_stores_nothing_of_that_part(
    store: RedisSessionStore, own: Registration
) -> None:
    """`max_keys` bounds a session; known keys still fit."""
    samples = [(name, 1) for name in "abcd"]
    assert store.samples.append(0, A, 1, [part("d1", own.generation, *samples)])[0].word == "ok"
    more = [part("d1", own.generation, ("a", 2), ("e", 2))]
    assert store.samples.append(0, A, 2, more)[0].word == "too_many_keys"
    assert store.samples.append(0, A, 3, [part("d1", own.generation, ("a", 3))])[0].word == "ok"
    assert store.index.details("d1")["telemetry"] == {"a": 3, "b": 1, "c": 1, "d": 1}  # type: ignore[index]


def test_history_keys_of_awkward_ids_do_not_meet(store: RedisSessionStore) -> None:
    """Ids and data keys with ':' and '%' never share a history."""
    pairs = [("a", "b:c"), ("a:b", "c"), ("a%3Ab", "c"), ("a%", "3Ab:c")]
    for i, (session_id, data_key) in enumerate(pairs):
        own = store.ownership.register(session_id, node_id=A, sid=f"aaaa.{i}")
        store.samples.append(0, A, i + 1, [part(session_id, own.generation, (data_key, i))])
    for i, (session_id, data_key) in enumerate(pairs):
        data = store.index.details(session_id)["data"]  # type: ignore[index]
        assert data == {data_key: [[i, 1.5]]}


# -- sessions without a connection --


def test_update_telemetry_keeps_the_other_keys(manager: SessionManager) -> None:
    """A partial update changes the keys it names."""
    session_id = manager.create_session("name", "p")
    manager.update_telemetry(session_id, {"a": 1, "b": {"x": [None]}})
    manager.update_telemetry(session_id, {"a": 2})
    session = manager.get_session(session_id)
    assert session is not None
    assert session["telemetry"] == {"a": 2, "b": {"x": [None]}}
    wanted = ("session_id", "created_at", "setup", "setup_timestamp", "telemetry", "last_update")
    assert set(wanted) <= set(session)
    assert session["created_at"].endswith("Z")
    assert manager.get_active_sessions() == [session_id]


def test_write_without_a_connection_leaves_a_device_session_inactive(
    store: RedisSessionStore, manager: SessionManager, own: Registration
) -> None:
    """REST writes to a device that is away do not make it look present."""
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "x")
    manager.update_telemetry("d1", {"k": 1})
    assert store.index.get("d1")["state"] == "inactive"  # type: ignore[index]


def test_session_without_a_connection_is_active_while_it_is_updated(
    client: redis.Redis, key_prefix: str
) -> None:
    """Idle it becomes inactive, an update makes it active again."""
    store = make_store(client, key_prefix, idle_after_ms=1)
    manager = SessionManager(store, Told())
    session_id = manager.create_session()
    wait_until(lambda: store.cleanup.sweep_idle(0) == 1, 2)
    assert store.index.counts()["inactive"] == 1
    manager.update_telemetry(session_id, {"k": 1})
    assert store.index.counts() == {"active": 1, "inactive": 0, "archived": 0}


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.update_telemetry("nobody", {"a": 1}),
        lambda m: m.update_setup("nobody", {}),
        lambda m: m.patch_setup("nobody", {}),
        lambda m: m.undo_setup("nobody"),
        lambda m: m.delete_session("nobody"),
        lambda m: m.queue_command("nobody", "go"),
    ],
)
def test_manager_unknown_id_is_session_not_found(
    manager: SessionManager, call: Callable[[SessionManager], Any]
) -> None:
    """Unknown ids: None from get_session, SessionNotFound from the others."""
    assert manager.get_session("nobody") is None
    with pytest.raises(errors.SessionNotFound):
        call(manager)


@pytest.mark.parametrize(
    "telemetry",
    [
        {},
        [],
        None,
        {"": 1},
        {"k\n": 1},
        {"k": float("nan")},
        {"k": float("inf")},
        {"k": {1}},
        {"k": datetime.now()},
    ],
)
def test_manager_bad_telemetry_is_invalid_request_and_stores_nothing(
    manager: SessionManager, telemetry: Any
) -> None:
    """What is no JSON object of named values never reaches Redis."""
    session_id = manager.create_session()
    with pytest.raises(errors.InvalidRequest):
        manager.update_telemetry(session_id, telemetry)
    assert manager.get_session(session_id)["telemetry"] == {}  # type: ignore[index]


def test_manager_value_too_deep_or_too_large_is_refused(manager: SessionManager) -> None:
    """Depth 32 is allowed, 33 is not; 64 KiB of JSON is allowed, more is not."""
    session_id = manager.create_session()
    deep: Any = 1
    for _ in range(32):
        deep = [deep]
    manager.update_telemetry(session_id, {"k": deep})
    with pytest.raises(errors.InvalidRequest):
        manager.update_telemetry(session_id, {"k": [deep]})
    manager.update_telemetry(session_id, {"k": "x" * (65536 - 2)})
    with pytest.raises(errors.TooLarge):
        manager.update_telemetry(session_id, {"k": "x" * (65536 - 1)})
