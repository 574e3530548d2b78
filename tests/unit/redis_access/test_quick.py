"""What connections do without the event loop, and what they leave to redis-py's own way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from service.redis_access.connections import Primary, SentinelConnection, TcpConnection, send


class Green:
    """A socket as eventlet has it: an original one that never waits, and what waits for it."""

    def __init__(self, raw: Any) -> None:
        self.fd = raw
        self.waited_for: list[bytes] = []

    def sendall(self, piece: bytes) -> None:
        self.waited_for.append(bytes(piece))

    def fileno(self) -> int:
        return int(self.fd.fileno())


class Reader:
    def has_data(self) -> bool:
        return False


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def connection_on(sock: Any, made: TcpConnection | None = None) -> Any:
    connection: Any = made or TcpConnection()
    connection._sock = sock
    connection._parser._reader = Reader()
    return connection


def test_what_the_kernel_takes_at_once_needs_no_loop(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    green = Green(pair[0])
    send(connection_on(green), b"PING\r\n")
    assert pair[1].recv(100) == b"PING\r\n"
    assert green.waited_for == []


def test_rest_of_what_the_kernel_took_in_part_waits_and_nothing_is_sent_twice() -> None:
    class Half:
        def gettimeout(self) -> float:
            return 0.0

        def send(self, packed: bytes) -> int:
            return len(packed) // 2

    green = Green(Half())
    send(connection_on(green), b"abcdef")
    assert green.waited_for == [b"def"]


def test_full_socket_waits_with_all_of_it(pair: tuple[socket.socket, socket.socket]) -> None:
    green = Green(pair[0])
    with pytest.raises(BlockingIOError):
        while True:
            pair[0].send(b"x" * 100_000)
    send(connection_on(green), b"abcdef")
    assert green.waited_for == [b"abcdef"]


def test_connection_that_is_gone_is_an_error_of_redis_and_closed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    connection = connection_on(pair[0])
    pair[1].close()
    with pytest.raises(RedisConnectionError, match="while writing"):
        send(connection, b"abcdef")
    assert connection._sock is None


def test_connection_with_something_to_read_is_not_ready(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """It would be the answer to another call, or the end."""
    connections = [connection_on(sock) for sock in (pair[0], Green(pair[0]))]
    assert [one.is_ready() for one in connections] == [True, True]
    pair[1].send(b"+OK\r\n")
    assert [one.is_ready() for one in connections] == [False, False]
    pair[0].recv(10)
    pair[1].close()
    assert [one.is_ready() for one in connections] == [False, False]


def test_connection_to_a_server_that_is_the_primary_no_more_is_not_ready(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    primary = Primary([("127.0.0.1", 1)], "muster", {})
    connection = connection_on(Green(pair[0]), SentinelConnection(primary=primary))
    connection.host, connection.port = primary.address = ("10.0.0.1", 6379)
    assert connection.is_ready()
    primary.address = ("10.0.0.2", 6379)
    assert not connection.is_ready()


def test_health_checks_that_are_asked_for_are_made(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    green = Green(pair[0])
    connection = connection_on(green)
    connection.health_check_interval = 1e9
    connection.next_health_check = 1e18
    send(connection, b"abcdef")
    assert green.waited_for == [b"abcdef"]
