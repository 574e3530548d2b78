"""Opens what holds sessions, Redis and the archive, for nodes, workers and programs alike.

The archive belongs to the Redis: its store id stands in `P:meta` from the first start on. A process
whose disk carries another id, or none because it is not mounted, is refused; so is one that names no
archive where there is one, because it would take archived sessions for unknown ones. Only when
`P:meta` knows none (the first start, or Redis was lost) the folder is claimed: a new one is marked,
one that is marked already is taken as it is.
"""

from __future__ import annotations

from typing import Any

import redis

from service.archive.archive import Archive
from service.archive.closed import ClosedArchiveStore
from service.archive.errors import ArchiveUnavailable
from service.archive.file_store import FileArchiveStore, path_of_url
from service.archive.store import ArchiveStore
from service.archive.threads import NativeCalls, ThreadedArchiveStore
from service.config import Config, load_config
from service.errors import ConfigError
from service.live.external_messages import ExternalMessages
from service.redis_clients import redis_factory
from service.sessions.archiving import Archiver
from service.sessions.keys import Keys
from service.sessions.manager import SessionManager
from service.sessions.scripts import StoreSettings
from service.sessions.store import RedisSessionStore


def keys_of(config: Config) -> Keys:
    """Key names under the configured prefix."""
    return Keys(config.redis.key_prefix, config.redis.partitions)


def store_settings(config: Config) -> StoreSettings:
    """Bounds and times of the store, in its units."""
    sessions, limits = config.sessions, config.limits
    return StoreSettings(
        lease_ms=round(sessions.lease_s * 1000),
        ttl_ms=round(sessions.ttl_s * 1000),
        idle_after_ms=round(sessions.idle_after_s * 1000),
        feed_keep_ms=round(config.feed.keep_s * 1000),
        feed_max_bytes=config.feed.max_bytes,
        history_default=sessions.history.default,
        history_keys=dict(sessions.history.keys),
        max_keys=sessions.max_keys,
        max_queued=config.commands.max_queued,
        flapping_registers=limits.flapping_registers,
        flapping_window_ms=round(limits.flapping_window_s * 1000),
        wait_replicas=config.redis.wait_replicas,
    )


def make_store(config: Config, client: redis.Redis, **options: Any) -> RedisSessionStore:
    """The session store over a client that decodes responses; options of `StoreBase` go through."""
    return RedisSessionStore(client, keys_of(config), store_settings(config), **options)


def open_archiver(
    config: Config,
    store: RedisSessionStore,
    *,
    calls: NativeCalls | None = None,
    lenient: bool = False,
    **options: Any,
) -> Archiver | None:
    """What moves sessions between this store and its archive; None: there is no archive.

    Args:
        config: `archive.url` and `archive.compression_level`.
        store: open already.
        calls: how the disk is asked; None: in the caller's own thread.
        lenient: for tools that look at a service: an archive that cannot be had is one whose every
            call says so, and none is claimed.
        options: of the Archiver.

    Raises:
        ConfigError: it is another one, its disk is not mounted, or it is not named.
    """
    if store.archive_id() is None and (lenient or not config.archive.url):
        return None
    try:
        files = _open_files(config, store, calls)
    except ConfigError as exc:
        if not lenient:
            raise
        files = ClosedArchiveStore(str(exc))
    return Archiver(store, Archive(files, config.archive.compression_level), **options)


def _open_files(
    config: Config, store: RedisSessionStore, calls: NativeCalls | None
) -> ArchiveStore:
    if not config.archive.url:
        raise ConfigError(
            "archive.url: this service has an archive, and the setting names none: archived "
            "sessions would be taken for unknown ones"
        )
    root = path_of_url(config.archive.url)
    files: ArchiveStore = FileArchiveStore(root)
    if calls is not None:
        files = ThreadedArchiveStore(files, calls)
    try:
        known = store.archive_id()
        if known is None:
            known = store.claim_archive(files.claim())
        files.open(known)
    except ArchiveUnavailable as exc:
        raise ConfigError(f"archive.url: {exc.message}") from exc
    return files


def connect_manager(
    url: str, config: Config | None = None, *, lenient: bool = False
) -> SessionManager:
    """A `SessionManager` of its own; see `SessionManager.connect`, and `open_archiver`."""
    config = config or load_config()
    client = redis_factory(url, config.redis.max_connections)()
    store = make_store(config, client)
    try:
        store.open()
        archiver = open_archiver(config, store, lenient=lenient)
    except BaseException:
        client.close()
        raise
    return SessionManager(
        store,
        ExternalMessages(client, store.keys),
        archiver=archiver,
        command_ttl_s=config.commands.ttl_s,
        max_value_bytes=config.sessions.max_value_bytes,
        close=client.close,
    )
