"""Opens Redis: the one place that turns a URL into a client.

Every client has timeouts and a pool that makes its callers wait instead of failing at the hundredth
connection. None of them retries by itself: each user knows what may be repeated, and how.
"""

from __future__ import annotations

import _socket  # the original one: it never switches
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from service.errors import ConfigError
from service.settings import EMBEDDED

SENTINEL_SCHEME = "redis+sentinel"
DEFAULT_SENTINEL_PORT = 26379
#: A server that does not answer for this long is as good as away.
SOCKET_TIMEOUT_S = 3.0
CONNECT_TIMEOUT_S = 2.0
#: How long a task waits for a connection of a pool that is in use.
POOL_TIMEOUT_S = 5.0


class _QuickCheck:
    """Sees without the event loop that nothing waits on a connection that is taken from the pool.

    redis-py 8.1 (connection.py:3739) asks `can_read` before every call, and asks by `select`. Under
    eventlet and gevent that is two turns of the loop, more than the call itself costs. The usual answer,
    that there is nothing, is found here; in any other case redis-py looks by itself.
    """

    _sock: Any
    _parser: Any

    def can_read(self, timeout: float = 0) -> bool:
        reader = getattr(self._parser, "_reader", None)
        if (
            not timeout
            and self._sock is not None
            and reader is not None
            and not reader.has_data()
            and _is_silent(self._sock)
        ):
            return False
        return bool(super().can_read(timeout))  # type: ignore[misc]


class _TcpConnection(_QuickCheck, redis.Connection):
    pass


class _UnixConnection(_QuickCheck, redis.UnixDomainSocketConnection):
    pass


_CONNECTIONS = {"redis": _TcpConnection, "unix": _UnixConnection}


def _is_silent(sock: Any) -> bool:
    """Whether a plain socket is open and has nothing to read now."""
    raw = _socket.socket(sock.family, sock.type, sock.proto, fileno=sock.fileno())
    try:
        raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        raw.detach()
    return False


def redis_factory(url: str, max_connections: int = 50) -> Callable[..., redis.Redis]:
    """Makes clients of one Redis; keyword options of `redis.Redis.from_url` win over ours.

    Raises:
        ConfigError: the URL is none that a process other than `muster up` can connect to.
    """
    if url == EMBEDDED:
        raise ConfigError(
            "redis.url: `embedded` is for `muster up` alone; give the URL of a server, "
            "such as redis://127.0.0.1:6379/0"
        )
    defaults: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": max_connections,
    }
    if url.startswith(SENTINEL_SCHEME + "://"):
        return _sentinel_factory(url, defaults)

    connection_class = _CONNECTIONS.get(url.partition(":")[0])
    if connection_class is not None:  # TLS has bytes of its own: redis-py's check
        defaults["connection_class"] = connection_class

    def make(**options: Any) -> redis.Redis:
        chosen = {**defaults, "timeout": POOL_TIMEOUT_S, **options}
        try:
            pool = redis.BlockingConnectionPool.from_url(url, **chosen)
        except ValueError as exc:
            raise ConfigError(f"redis.url: {exc}") from exc
        return redis.Redis(connection_pool=pool)

    return make


def parse_sentinel(url: str) -> tuple[list[tuple[str, int]], int, str, dict[str, str]]:
    """Hosts, database, service name and credentials of `redis+sentinel://[user:pass@]h:p,…/db/name`.

    Raises:
        ConfigError: it has another form.
    """
    parts = urlsplit(url)
    credentials, _, places = parts.netloc.rpartition("@")
    try:
        hosts = []
        for place in places.split(","):
            host, _, port = place.rpartition(":") if ":" in place else (place, "", "")
            if not host:
                raise ValueError(place)
            hosts.append((host, int(port or DEFAULT_SENTINEL_PORT)))
        database, _, name = parts.path.strip("/").partition("/")
        number = int(database)
    except ValueError as exc:
        raise ConfigError(
            "redis.url: should be redis+sentinel://host:port,host:port/database/name"
        ) from exc
    if not name:
        raise ConfigError("redis.url: the name of the master is missing after the database")
    login: dict[str, str] = {}
    if credentials:
        user, _, password = credentials.partition(":")
        if user:
            login["username"] = unquote(user)
        if password:
            login["password"] = unquote(password)
    return hosts, number, name, login


def _sentinel_factory(url: str, defaults: dict[str, Any]) -> Callable[..., redis.Redis]:
    hosts, database, name, login = parse_sentinel(url)

    def make(**options: Any) -> redis.Redis:
        chosen = {**defaults, "db": database, **login, **options}
        timeouts = {
            key: chosen[key] for key in ("socket_timeout", "socket_connect_timeout", "retry")
        }
        sentinel = Sentinel(hosts, sentinel_kwargs=timeouts)
        client: redis.Redis = sentinel.master_for(name, **chosen)
        return client

    return make
