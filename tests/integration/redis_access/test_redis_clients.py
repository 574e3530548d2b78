"""Clients of Redis over real connections: what the quick check of a pooled connection must not miss."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from service.redis_access.clients import redis_factory


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis_factory(redis_url)()
    yield client
    client.close()


def taken(client: redis.Redis) -> redis.connection.AbstractConnection:
    """The connection that the next call will get, back in its pool."""
    connection = client.connection_pool.get_connection()
    client.connection_pool.release(connection)
    return connection


def test_silent_connection_is_found_silent_without_select(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under eventlet and gevent `select` costs two turns of the event loop."""
    client.ping()

    def refuse(*_: object) -> None:
        raise AssertionError("asked the event loop")

    monkeypatch.setattr("redis._parsers.hiredis._socket_can_read", refuse)
    assert client.ping()
    assert taken(client).can_read() is False


def test_connection_that_redis_closed_is_replaced_before_the_call(
    client: redis.Redis, redis_url: str
) -> None:
    """Nothing is sent on it: a call that is not repeated would be lost."""
    before = client.client_id()
    with redis.Redis.from_url(redis_url) as other:
        other.client_kill_filter(_id=before)
    assert client.client_id() != before


def test_connection_with_something_to_read_is_not_called_silent(client: redis.Redis) -> None:
    connection = client.connection_pool.get_connection()
    connection.send_command("ECHO", "to be read")
    assert connection.can_read(timeout=2)
    assert connection.can_read()
    assert connection.read_response() == "to be read"
    client.connection_pool.release(connection)


def test_connection_with_the_answer_to_another_call_is_never_lent(client: redis.Redis) -> None:
    """Whoever got it would take that answer for its own, and so would everybody after it."""
    connection = client.connection_pool.get_connection()
    connection.send_command("ECHO", "of somebody else")
    assert connection.can_read(timeout=2)
    client.connection_pool.release(connection)
    assert client.echo("mine") == "mine"
