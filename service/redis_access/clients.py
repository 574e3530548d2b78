"""Clients of Redis: the one place that turns a URL into a client.

Every client has timeouts and a pool that makes its callers wait instead of failing at the hundredth
connection. None of them retries by itself: each user knows what may be repeated, and how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from service.config.settings import EMBEDDED
from service.errors import ConfigError
from service.redis_access.connections import (
    PatientParser,
    Primary,
    SentinelConnection,
    TcpConnection,
    TlsConnection,
    UnixConnection,
)
from service.redis_access.trouble import unknown_option

SENTINEL_SCHEME = "redis+sentinel"
DEFAULT_SENTINEL_PORT = 26379
#: A server that does not answer for this long is as good as away.
SOCKET_TIMEOUT_S = 3.0
CONNECT_TIMEOUT_S = 2.0
#: How long a task waits for a connection of a pool that is in use.
POOL_TIMEOUT_S = 5.0

#: Options of a `rediss://` URL that name files, or a folder of them.
_TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_CONNECTIONS = {"redis": TcpConnection, "rediss": TlsConnection, "unix": UnixConnection}


def redis_factory(
    url: str, max_connections: int = 50, setting: str = "redis.url"
) -> Callable[..., redis.Redis]:
    """Return a function that makes clients of one Redis; its keyword options override ours.

    Args:
        setting: that has this URL, for errors.

    Raises:
        ConfigError: the URL is `embedded`, or not one of Redis.
    """
    if url == EMBEDDED:
        raise ConfigError(
            f"{setting}: `embedded` is for `muster up` alone; give the URL of a server, "
            "such as redis://127.0.0.1:6379/0"
        )
    defaults: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": max_connections,
        "timeout": POOL_TIMEOUT_S,
        "parser_class": PatientParser,
        # With them a pool lends a connection that has something to read: the answer to another call.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if url.startswith(SENTINEL_SCHEME + "://"):
        return _sentinel_factory(url, defaults, setting)
    _check_database(url, setting)
    connection_class = _CONNECTIONS.get(url.partition(":")[0])
    if connection_class is not None:
        defaults["connection_class"] = connection_class

    def make(**options: Any) -> redis.Redis:
        try:
            pool = redis.BlockingConnectionPool.from_url(url, **{**defaults, **options})
            pool.connection_class(**pool.connection_kwargs)  # opens nothing
            _check_files(pool.connection_kwargs, setting)
        except ValueError as exc:
            raise ConfigError(f"{setting}: {exc}") from exc
        except TypeError as exc:
            raise ConfigError(f"{setting}: there is no option {unknown_option(exc)!r}") from exc
        return redis.Redis.from_pool(pool)  # which is closed with it

    return make


def queue_factory(
    queue_url: str, url: str, max_connections: int = 50
) -> Callable[..., redis.Redis]:
    """Return a `redis_factory` for the queue of jobs: `redis.queue_url`, where that is set."""
    if queue_url:
        return redis_factory(queue_url, max_connections, "redis.queue_url")
    return redis_factory(url, max_connections)


def _check_database(url: str, setting: str) -> None:
    """Check the database of a URL: redis-py takes one that is no number for 0."""
    if url.partition(":")[0] in ("redis", "rediss"):
        database = urlsplit(url).path.strip("/")
        if database and not database.isdecimal():
            raise ConfigError(f"{setting}: the database should be a number, not {database!r}")


def _check_files(options: dict[str, Any], setting: str) -> None:
    """Check that the files of TLS options are there: redis-py does not name them when it connects."""
    for name in _TLS_FILES:
        path = options.get(name)
        if path and not Path(path).exists():
            raise ConfigError(f"{setting}: {name}: there is no file {path!r}")


@dataclass(frozen=True)
class SentinelUrl:
    """The parts of a `redis+sentinel://` URL."""

    sentinels: list[tuple[str, int]]
    #: The name under which Sentinels watch the primary.
    name: str
    database: int
    #: `username` and `password` where they are given: of the servers, and of the Sentinels.
    login: dict[str, str]
    sentinel_login: dict[str, str]


def parse_sentinel(url: str, setting: str = "redis.url") -> SentinelUrl:
    """Parse `redis+sentinel://[user:pass@]h:p,…/db/name[?sentinel_username=…&sentinel_password=…]`.

    Raises:
        ConfigError: it has another form.
    """
    parts = urlsplit(url)
    credentials, _, places = parts.netloc.rpartition("@")
    try:
        sentinels = [_place(place) for place in places.split(",")]
        database, _, name = parts.path.strip("/").partition("/")
        number = int(database)
    except ValueError as exc:
        raise ConfigError(
            f"{setting}: should be redis+sentinel://host:port,host:port/database/name"
        ) from exc
    if not name:
        raise ConfigError(f"{setting}: the name of the primary is missing after the database")
    user, _, password = credentials.partition(":")
    sentinel_login = {}
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        key = option.removeprefix("sentinel_")
        if key == option or key not in ("username", "password"):
            raise ConfigError(f"{setting}: redis+sentinel:// has no option {option!r}")
        sentinel_login[key] = value
    login = {"username": unquote(user), "password": unquote(password)}
    given = {key: value for key, value in login.items() if value}
    return SentinelUrl(sentinels, unquote(name), number, given, sentinel_login)


def _place(text: str) -> tuple[str, int]:
    """Parse host and port of `host`, `host:port` or `[::1]:port`."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    host = host.removeprefix("[").removesuffix("]")
    if not host:
        raise ValueError(text)
    return host, int(port or DEFAULT_SENTINEL_PORT)


def _sentinel_factory(
    url: str, defaults: dict[str, Any], setting: str
) -> Callable[..., redis.Redis]:
    parsed = parse_sentinel(url, setting)
    asking = {
        key: defaults[key] for key in ("socket_timeout", "socket_connect_timeout", "retry")
    } | parsed.sentinel_login

    def make(**options: Any) -> redis.Redis:
        pool = redis.BlockingConnectionPool(
            **{
                **defaults,
                "db": parsed.database,
                **parsed.login,
                **options,
                "connection_class": SentinelConnection,
                "primary": Primary(parsed.sentinels, parsed.name, asking),
            }
        )
        return redis.Redis(connection_pool=pool)

    return make
