"""Connections to Redis: what redis-py's own lack for this service.

`redis+sentinel://` has a connection of its own instead of redis-py's `Sentinel.master_for`, because
that one (redis 8.1, sentinel.py:73) stays open when the reading of a reply is interrupted by a signal,
a timeout or the end of a task, and the next user that takes it from the pool reads the reply of the
previous call. RQ ends its wait for jobs in this way. Its pool also raises at the limit instead of making
its callers wait. Here only the address is another at each connect; all else is the ordinary connection
in the ordinary pool, also after a fork.
"""

from __future__ import annotations

import _socket  # the original one: it never switches
import socket
from collections.abc import Iterator
from typing import Any

import redis
from hiredis import PushNotification
from redis._parsers.hiredis import NOT_ENOUGH_DATA as _NOTHING
from redis.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import Sentinel

#: What most replies are; subclasses of these are something else.
_PLAIN = frozenset((list, str, bytes, int))
_PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)


class PatientParser(DefaultParser):  # type: ignore[misc,valid-type]
    """Reads a reply that came in time, although its reader came late.

    When one turn of eventlet's loop takes longer than the timeout, the timer of a waiting socket fires
    before the loop has looked at the socket again. Redis is not away then, this process is busy.
    """

    _sock: Any

    def read_from_socket(self, *args: Any, **options: Any) -> bool:
        try:
            return bool(super().read_from_socket(*args, **options))
        except RedisTimeoutError:
            if self._sock is None or _is_silent(self._sock, _raw(self._sock)):
                raise
        return bool(super().read_from_socket(*args, **options))


class _Quick:
    """Does without the event loop what is usually done in a moment; in any other case redis-py's own way does it.

    redis-py 8.1 (connection.py:3739) calls `can_read` before every command, which uses `select`. Under
    eventlet and gevent that is two turns of the loop, more than the command itself costs.
    """

    _sock: Any
    _parser: Any
    health_check_interval: Any
    #: The original socket within the one that was used last.
    _raw: Any = None
    _raw_of: Any = None

    def can_read(self, timeout: float = 0) -> bool:
        if not timeout and self.is_quiet():
            return False
        return bool(super().can_read(timeout))  # type: ignore[misc]

    def is_ready(self) -> bool:
        """Return whether it is certainly open, to the server that is meant, with nothing to read."""
        return self.is_quiet()

    def is_quiet(self) -> bool:
        """Return whether it is certainly open with nothing to read."""
        sock, reader = self._sock, getattr(self._parser, "_reader", None)
        if sock is None or reader is None or reader.has_data():
            return False
        if sock is not self._raw_of:
            self._raw, self._raw_of = _raw(sock), sock
        return _is_silent(sock, self._raw)

    def send(self, packed: bytes) -> None:
        """Send commands; at a few calls less than by `send_packed_command`."""
        sock, sent = self._sock, 0
        if sock is not self._raw_of:
            self._raw, self._raw_of = _raw(sock), sock
        if self._raw is not None and not self.health_check_interval:
            try:
                sent = self._raw.send(packed)
            except OSError:
                pass  # redis-py meets it again, and says what it means
        if sent < len(packed):
            self.send_packed_command([packed[sent:]])  # type: ignore[attr-defined]


class _OnlyPrimary:
    """A connection that closes when its server says that it is a replica.

    A primary that was demoted still answers. A connection that stayed open would be refused its
    writes for ever; the next one may reach another server behind the same name.
    """

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except (ReadOnlyError, MasterDownError) as exc:
            self.disconnect()  # type: ignore[attr-defined]
            raise RedisConnectionError(f"This server is a replica: {exc}") from exc


class TcpConnection(_Quick, _OnlyPrimary, redis.Connection):
    """For `redis://`."""


class UnixConnection(_Quick, _OnlyPrimary, redis.UnixDomainSocketConnection):
    """For `unix://`."""


class TlsConnection(_OnlyPrimary, redis.SSLConnection):
    """For `rediss://`; TLS keeps bytes of its own, which only redis-py's check sees."""


class Primary:
    """The address of a primary, asked of its Sentinels.

    Args:
        sentinels: hosts and ports.
        name: under which they watch it.
        options: of the connections to Sentinels.
    """

    def __init__(
        self, sentinels: list[tuple[str, int]], name: str, options: dict[str, Any]
    ) -> None:
        self._sentinel = Sentinel(sentinels, sentinel_kwargs=options)
        self._name = name
        #: The address of the last connection that was made.
        self.address: tuple[str, int] | None = None

    def find(self) -> tuple[str, int]:
        """Ask the Sentinels, the one that answered last first.

        Raises:
            redis.ConnectionError: none of them answers, or knows a primary that is up.
        """
        try:
            host, port = self._sentinel.discover_master(self._name)
        finally:  # left alone they would stay open, and they are seldom asked
            for sentinel in self._sentinel.sentinels:
                sentinel.connection_pool.disconnect(inuse_connections=False)
        return host, port


class SentinelConnection(TcpConnection):
    """For `redis+sentinel://`: to the server that is the primary when this connects.

    Args:
        primary: asked at each connect.
        options: of `redis.Connection`.
    """

    def __init__(self, *, primary: Primary, **options: Any) -> None:
        self._primary = primary
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def connect(self) -> None:
        """Connect to the present primary. Runs whenever this is taken from its pool: it may be open."""
        if self._sock is not None and (self.host, self.port) != self._primary.address:
            self.disconnect()  # type: ignore[no-untyped-call]
        super().connect()  # type: ignore[no-untyped-call]

    def is_ready(self) -> bool:
        return (self.host, self.port) == self._primary.address and super().is_ready()

    def _connect(self) -> socket.socket:
        self.host, self.port = self._primary.find()
        return super()._connect()  # type: ignore[no-untyped-call, no-any-return]

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health=check_health)
        # Sentinels may be late: for a moment they name a server that is a replica by now
        self.send_command("ROLE", check_health=False)  # type: ignore[no-untyped-call]
        role = self.read_response()[0]
        if role not in ("master", b"master"):
            raise RedisConnectionError("This server is a replica: Sentinels name it still.")
        self._primary.address = self.host, self.port


def replies(
    connection: Any, count: int, *, decoded: bool = True, raises: bool = True
) -> Iterator[Any]:
    """Yield so many replies.

    redis-py 8.1 (connection.py:1393) spends more on a reply than it takes to parse a short one. So it reads those
    that have not arrived yet; what has arrived behind another one is taken from its parser.

    Args:
        raises: raise a reply that is an error; otherwise it is yielded.
    """
    parser: Any = getattr(connection, "_parser", None)
    left = count
    while left:
        gets: Any = getattr(getattr(parser, "_reader", None), "gets", None)
        while left and gets is not None and (reply := gets(decoded)) is not _NOTHING:
            if type(reply) in _PLAIN:  # nothing of what is asked below
                left -= 1
                yield reply
                continue
            if isinstance(reply, PushNotification):
                parser.handle_push_response(reply)  # of RESP3; it is no reply
                continue
            left -= 1
            if isinstance(reply, RedisConnectionError):
                raise reply  # such as LOADING
            if isinstance(reply, ReadOnlyError | MasterDownError):
                raise RedisConnectionError(f"This server is a replica: {reply}")
            if raises and isinstance(reply, ResponseError):
                raise reply
            yield reply
        if left:
            left -= 1
            try:
                yield connection.read_response(disable_decoding=not decoded)
            except ResponseError as error:
                if raises:
                    raise
                yield error


def send(connection: Any, packed: bytes) -> None:
    """Send commands over any connection, ours or another of redis-py's."""
    quick = getattr(connection, "send", None)
    if quick is None:
        connection.send_packed_command([packed])
    else:
        quick(packed)


def _raw(sock: Any) -> Any:
    """Return the original socket within one of eventlet (`fd`) or gevent (`_sock`), which never waits; None: none."""
    raw = getattr(sock, "fd", None) or getattr(sock, "_sock", None)
    return raw if raw is not None and raw.gettimeout() == 0 else None


def _is_silent(sock: Any, raw: Any) -> bool:
    """Return whether a plain socket is open and has nothing to read now.

    Args:
        raw: what `_raw` found in it.
    """
    made = None
    if raw is None:
        raw = made = _socket.socket(sock.family, sock.type, sock.proto, fileno=sock.fileno())
    try:
        raw.recv(1, _PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        if made is not None:
            made.detach()
    return False
