"""Flushes of several partitions in one round trip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from service import errors
from service.sessions.model import AppendPart, AppendResult
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer
from tests.support.nodes.stores import make_store


@pytest.fixture
def store(own_server: RealServer) -> Iterator[RedisSessionStore]:
    with redis.Redis.from_url(own_server.url, decode_responses=True) as client:
        yield make_store(client, "many", 4)


def one_each(store: RedisSessionStore) -> dict[int, str]:
    """A session in each partition."""
    found: dict[int, str] = {}
    for number in range(100):
        found.setdefault(store.keys.partition(f"d{number}"), f"d{number}")
    for session_id in found.values():
        store.ownership.register(session_id, node_id="n", sid="s")
    return found


def batches(sessions: dict[int, str], number: int) -> list[Any]:
    def part(session_id: str) -> AppendPart:
        keys = {"k": [b"[%d,1.0]" % number]}
        return AppendPart(session_id, None, "", None, None, 10, 1, b'[["k",1,1.0]]', keys)

    return [(p, number, [part(session_id)]) for p, session_id in sessions.items()]


def are_stored(answer: list[AppendResult] | Exception) -> bool:
    return isinstance(answer, list) and [one.word for one in answer] == ["ok"]


def test_answers_belong_to_their_partitions_and_a_repeat_stores_nothing(
    store: RedisSessionStore,
) -> None:
    sessions = one_each(store)
    for _ in range(2):
        answers = store.samples.append_all("w", batches(sessions, 1))
        assert all(isinstance(one, list) for one in answers)
    store.runner.client.script_flush()
    answers = store.samples.append_all("w", batches(sessions, 2))
    assert [are_stored(one) for one in answers] == [True] * 4
    for session_id in sessions.values():
        details = store.index.details(session_id)
        assert details is not None
        assert [value for value, _ in details["data"]["k"]] == [1, 2]


def test_partition_that_fails_leaves_the_others(store: RedisSessionStore) -> None:
    sessions = one_each(store)
    broken = next(iter(sessions))
    store.runner.client.set(store.keys.batch(broken, "w"), "x")
    store.runner.client.delete(store.keys.feed(broken))
    store.runner.client.set(store.keys.feed(broken), "no stream")
    answers = dict(zip(sessions, store.samples.append_all("w", batches(sessions, 1)), strict=True))
    failed = answers.pop(broken)
    assert isinstance(failed, Exception)
    assert not isinstance(failed, errors.ServiceError)
    assert [are_stored(one) for one in answers.values()] == [True] * 3


def test_full_redis_is_said_of_each(store: RedisSessionStore) -> None:
    sessions = one_each(store)
    store.runner.client.config_set("maxmemory", 1)
    answers = store.samples.append_all("w", batches(sessions, 1))
    assert all(isinstance(one, errors.Overloaded) for one in answers)
    assert len(answers) == 4


def test_server_that_is_gone_is_said_once(store: RedisSessionStore, own_server: RealServer) -> None:
    sessions = one_each(store)
    own_server.kill()
    with pytest.raises(errors.StoreUnavailable):
        store.samples.append_all("w", batches(sessions, 1))
