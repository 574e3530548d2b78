"""Connections that are kept between calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

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


@pytest.fixture
def real() -> KeptConnections:
    client: Any = fakeredis.FakeRedis(server=fakeredis.FakeServer(version=(7, 2)), protocol=2)
    return KeptConnections(client)


def test_errors_are_in_the_place_of_their_replies(real: KeptConnections) -> None:
    commands = [("SET", "a", "x"), ("LPUSH", "a", 1), ("GET", "a")]
    for found in (real.ask(commands), real.transaction(commands)):
        assert (found[0], found[2]) == (b"OK", b"x")
        assert isinstance(found[1], ResponseError)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        real.call(commands[1])
    assert real.call(("GET", "a")) == b"x"


def test_transaction_is_one_whole(real: KeptConnections) -> None:
    """What was refused at once is why nothing of it was done."""
    with pytest.raises(ResponseError, match=r"(?i)unknown command"):
        real.transaction([("SET", "a", "x"), ("UNHEARD",), ("SET", "b", "x")])
    assert real.call(("EXISTS", "a", "b")) == 0


@pytest.mark.parametrize(
    "ask", [lambda kept: kept.ask([("GET", "a")]), lambda kept: kept.call(("GET", "a"))]
)
def test_connection_whose_call_was_cut_off_is_closed(
    ask: Callable[[KeptConnections], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next caller would get the reply to this call."""
    pool = Pool()

    def end(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Line, "send_packed_command", lambda *_: None, raising=False)
    monkeypatch.setattr(Line, "read_response", end, raising=False)
    with pytest.raises(KeyboardInterrupt):
        ask(kept(pool))
    assert pool.returned == pool.taken
    assert not pool.taken[0].is_open


def test_closing_ends_connections_that_are_lent_too(real: KeptConnections) -> None:
    with real.lend() as one, real.lend() as other:
        real.close()
        assert (one._sock, other._sock) == (None, None)
