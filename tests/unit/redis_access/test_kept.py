"""Connections that are kept between calls."""

from __future__ import annotations

import os
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from service.redis_access.kept import MOST, KeptConnections


class Line:
    """A connection, as far as it is asked."""

    has_data = False
    is_open = True

    def connect(self) -> None:
        self.is_open = True

    def can_read(self) -> bool:
        return self.has_data

    def disconnect(self) -> None:
        self.is_open = self.has_data = False


class Pool:
    """Hands out new connections, and is their client too."""

    def __init__(self, max_connections: int = 50) -> None:
        self.max_connections = max_connections
        self.connection_pool = self
        self.taken: list[Line] = []
        self.returned: list[Line] = []

    def get_connection(self) -> Line:
        self.taken.append(Line())
        return self.taken[-1]

    def release(self, line: Line) -> None:
        self.returned.append(line)


def kept(pool: Pool) -> KeptConnections:
    client: Any = pool
    return KeptConnections(client)


def test_next_call_has_the_same_connection() -> None:
    pool = Pool()
    connections = kept(pool)
    for _ in range(3):
        with connections.lend() as line:
            assert line is pool.taken[0]
    assert pool.returned == []


def test_calls_at_one_time_have_their_own_and_a_bound_is_kept() -> None:
    pool = Pool()
    connections = kept(pool)
    lent = [connections.lend() for _ in range(MOST + 2)]
    assert len({id(one.__enter__()) for one in lent}) == MOST + 2
    for one in lent:
        one.__exit__(None, None, None)
    assert len(pool.returned) == 2


def test_stores_that_come_and_go_on_one_client_do_not_empty_its_pool() -> None:
    client: Any = Pool()
    for _ in range(10):
        with KeptConnections.of(client).lend():
            pass
    assert len(client.taken) == 1
    other: Any = Pool()
    assert KeptConnections.of(other) is not KeptConnections.of(client)


def test_most_of_a_pool_is_left_to_others() -> None:
    pool = Pool(max_connections=3)
    with kept(pool).lend():
        pass
    assert pool.returned == pool.taken


def test_connection_with_answers_to_read_is_closed_and_not_lent_again() -> None:
    pool = Pool()
    connections = kept(pool)
    with pytest.raises(ValueError), connections.lend():
        raise ValueError
    assert pool.returned == pool.taken
    assert not pool.taken[0].is_open
    with connections.lend() as line:
        assert line is pool.taken[1]
    pool.taken[1].has_data = True
    with connections.lend() as line:
        assert line is pool.taken[2]


def test_connection_that_redis_closed_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool()
    connections = kept(pool)
    with connections.lend():
        pass

    def refuse(_: Line) -> bool:
        raise RedisConnectionError("closed")

    monkeypatch.setattr(Line, "can_read", refuse)
    with connections.lend() as line:
        assert line is pool.taken[1]
    assert pool.returned == pool.taken[:1]


def test_process_that_was_forked_takes_none_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool()
    connections = kept(pool)
    with connections.lend():
        pass
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with connections.lend() as line:
        assert line is pool.taken[1]
    assert pool.returned == []  # the parent's is not even closed
