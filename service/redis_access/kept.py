"""Connections that are kept between calls, taken from redis-py's pool.

To take a connection from that pool and to give it back costs more CPU than a short script: a queue with locks, and
figures of its own. So a few are taken once and lent from here; what goes beyond them comes from the pool as before,
and closing the pool closes these too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hiredis
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ExecAbortError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.redis_access.connections import replies, send

#: At most so many; and at most a quarter of the pool, which serves others too.
MOST = 8
#: Under this name a pool has them.
_ON_POOL = "muster_kept_connections"


class KeptConnections:
    """The connections of one pool that are lent for calls."""

    @classmethod
    def of(cls, client: redis.Redis) -> KeptConnections:
        """Return those of the client's pool, which all stores on it share.

        A program may make one store after the other on the same client: connections that each of them kept would
        be missing in the pool until it has none.
        """
        shared: KeptConnections = vars(client.connection_pool).setdefault(_ON_POOL, cls(client))
        return shared

    def __init__(self, client: redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._most = min(MOST, self._pool.max_connections // 4)
        self._idle: list[Any] = []
        self._pid = os.getpid()

    @contextmanager
    def lend(self) -> Iterator[Any]:
        """Lend a connection that is open and has nothing to read.

        Closed when it is left by an exception: no other caller must read the rest of its answers.
        """
        connection = self._kept() or self._pool.get_connection()
        try:
            yield connection
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)

    def call(self, command: Sequence[Any]) -> Any:
        """Return the reply to one command; with 450 arguments at 77 µs of CPU, not 128 as by redis-py's way.

        Raises:
            ResponseError: it is an error.
        """
        packed = hiredis.pack_command(tuple(command))
        connection = self._kept() or self._pool.get_connection()
        try:
            send(connection, packed)
            reply = connection.read_response()
        except ResponseError:
            self._give_back(connection)
            raise
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)
        return reply

    def ask(self, commands: Sequence[Sequence[Any] | bytes]) -> list[Any]:
        """Return the replies to several commands, which go in one round trip; errors are among them.

        Args:
            commands: each as its words, or encoded already.
        """
        packed = [
            one if isinstance(one, bytes) else hiredis.pack_command(tuple(one)) for one in commands
        ]
        return self._exchange(b"".join(packed), len(packed))

    def transaction(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the replies to commands that Redis takes as a whole or not at all; errors are among them.

        Raises:
            ResponseError: it takes none of them; where it refused one at once, why it did.
        """
        *queued, replies_ = self.ask([("MULTI",), *commands, ("EXEC",)])
        if isinstance(replies_, ResponseError):
            refused = (one for one in queued if isinstance(one, ResponseError))
            raise next(refused, replies_) if isinstance(replies_, ExecAbortError) else replies_
        answers: list[Any] = replies_
        return answers

    def close(self) -> None:
        """Close all connections of the pool, lent or not."""
        self._pool.disconnect()

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        connection = self._kept() or self._pool.get_connection()
        try:
            send(connection, packed)
            found = list(replies(connection, count, raises=False))
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)
        return found

    def _give_back(self, connection: Any) -> None:
        if self._pid == os.getpid() and len(self._idle) < self._most:
            self._idle.append(connection)
        else:
            self._pool.release(connection)

    def _kept(self) -> Any:
        """Return one of those kept, checked as the pool checks its own; None: there is none."""
        if self._pid != os.getpid():  # after a fork they are the parent's
            self._idle, self._pid = [], os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        try:
            if (is_ready := getattr(connection, "is_ready", None)) is not None and is_ready():
                return connection
            connection.connect()
            if not connection.can_read():
                return connection
        except (RedisConnectionError, RedisTimeoutError, OSError):
            pass
        except BaseException:
            self._drop(connection)
            raise
        self._drop(connection)
        return None

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)
