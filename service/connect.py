"""Connecting a process to a service: opens Redis and the archive, for nodes, workers and programs.

The archive belongs to the service: `P:meta` has the service's id and the archive's store id, the marker in
the archive's root has both too. A process whose disk has others, or none because it is not mounted, is
refused; so is one whose settings name no archive although the service has one, because it would take
archived sessions for unknown ones.

Where `P:meta` has no archive (the first start, or Redis was lost) only a folder that is new and empty is
taken. A marked folder may be that of a service whose Redis was lost, or another's that is in use: no process
can know, so a person decides (`adopt_archive`, behind `muster archive adopt`). An archive whose marker names
no service, written by an older version, is taken by a service that has recorded its store id, the first one
of several.
"""

from __future__ import annotations

import platform
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from service.archive.archive import Archive
from service.archive.closed import ClosedArchiveStore
from service.archive.errors import ArchiveUnavailable, ForeignArchive, WrongArchive
from service.archive.file_store import FileArchiveStore, path_of_url
from service.archive.marker import Mark, Owner
from service.archive.store import ArchiveStore
from service.archive.threads import NativeCalls, ThreadedArchiveStore
from service.archiving.archiver import Archiver
from service.archiving.keeper import ArchiveKeeper
from service.archiving.null import NullArchiver
from service.config.loader import Config, load_config
from service.errors import ConfigError
from service.live.queue.external import ExternalMessages
from service.redis_access.clients import redis_factory
from service.sessions.store.keys import Keys
from service.sessions.store.runner import StoreSettings
from service.sessions.store.store import RedisSessionStore

#: What to do about an archive that is another's.
ADOPT = (
    "Give this service a folder of its own; or, if this is its archive and its Redis was lost, stop what "
    "uses it and take it over with `muster archive adopt`"
)


def keys_of(config: Config) -> Keys:
    """Return the key names under the configured prefix."""
    return Keys(config.redis.key_prefix, config.redis.partitions)


def store_settings(config: Config) -> StoreSettings:
    """Return bounds and times of the store, in its units."""
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
        max_bytes=sessions.max_bytes,
        max_queued=config.commands.max_queued,
        flapping_registers=limits.flapping_registers,
        flapping_window_ms=round(limits.flapping_window_s * 1000),
        wait_replicas=config.redis.wait_replicas,
    )


def make_store(config: Config, client: redis.Redis, **options: Any) -> RedisSessionStore:
    """Make the session store over a client that decodes responses; options go to `StoreBase`."""
    return RedisSessionStore(client, keys_of(config), store_settings(config), **options)


def open_archiver(
    config: Config,
    store: RedisSessionStore,
    *,
    calls: NativeCalls | None = None,
    lenient: bool = False,
    **options: Any,
) -> tuple[Archiver, ArchiveKeeper]:
    """Return what moves sessions between this store and its archive, and its keeper.

    Args:
        config: `archive.url` and `archive.compression_level`.
        store: open already.
        calls: runs the calls to the disk; None: in the caller's own thread.
        lenient: for programs that work without one: an archive that cannot be opened becomes one whose every call
            raises the reason, and none is claimed.
        options: of the Archiver.

    Raises:
        ConfigError: it is another service's, its disk is not mounted, or it is not named.
    """
    known = store.archive_index.known()
    if not config.archive.url and not known[1]:
        return NullArchiver(store), ArchiveKeeper(store)
    keeper = ArchiveKeeper(store)
    try:
        files = open_files(config, calls)
        if lenient:
            if not known[1] and _mark_of(files) is None:
                return NullArchiver(store), keeper
            _look_into(config, files, known)
        else:
            keeper = ArchiveKeeper(store, files, *_hold(files, store, config))
    except ConfigError as exc:
        if not lenient:
            raise
        files = ClosedArchiveStore(str(exc))
    except ArchiveUnavailable as exc:
        hint = f". {ADOPT}" if isinstance(exc, ForeignArchive) else ""
        if not lenient:
            raise ConfigError(f"archive.url: {exc.message}{hint}") from exc
        files = ClosedArchiveStore(f"{exc.message}{hint}")
    return Archiver(store, Archive(files, config.archive.compression_level), **options), keeper


def open_files(config: Config, calls: NativeCalls | None = None) -> ArchiveStore:
    """Return the files of `archive.url`, not open yet.

    Raises:
        ConfigError: `archive.url` names none.
    """
    if not config.archive.url:
        raise ConfigError(
            "archive.url: this service has an archive, and the setting names none: archived "
            "sessions would be taken for unknown ones"
        )
    files: ArchiveStore = FileArchiveStore(path_of_url(config.archive.url))
    return files if calls is None else ThreadedArchiveStore(files, calls)


def adopt_archive(config: Config, store: RedisSessionStore, files: ArchiveStore, was: str) -> str:
    """Make the archive with the store id `was` this service's, whichever service had it; return its new store id.

    The marker goes first: interrupted before Redis has it, the next start or `adopt` completes it.

    Raises:
        WrongArchive: it has another id by now.
        ArchiveUnavailable, StoreUnavailable
    """
    service, known = store.archive_index.known()
    if not service:
        service, _ = store.archive_index.note(secrets.token_hex(16), known)
    store_id = files.adopt(was, _owner(config, service))
    store.archive_index.settle(service, store_id)
    return store_id


def adopt_lost_archive(config: Config, store: RedisSessionStore) -> bool:
    """Adopt the marked folder of a service whose Redis has no archive; for callers that own both.

    Raises:
        ArchiveUnavailable, StoreUnavailable
    """
    service, known = store.archive_index.known()
    files = open_files(config)
    mark = _mark_of(files)
    if known or mark is None or (service and mark.owner.service == service):
        return False
    adopt_archive(config, store, files, mark.store_id)
    return True


def _owner(config: Config, service: str) -> Owner:
    return Owner(service, config.redis.key_prefix, platform.node())


def _mark_of(files: ArchiveStore) -> Mark | None:
    """Read the marker; None where there is none, or it cannot be read."""
    try:
        return files.identify()
    except ArchiveUnavailable:
        return None


def _look_into(config: Config, files: ArchiveStore, known: tuple[str, str]) -> None:
    """Open the files for a tool, which does not change their owner."""
    service, store_id = known
    if not store_id:
        raise ForeignArchive(_belongs(config, files.identify()))
    files.open(store_id, Owner(service) if service else None)


def _hold(files: ArchiveStore, store: RedisSessionStore, config: Config) -> tuple[Owner, str]:
    """Open the files as this service's; as whose, and their store id."""
    service, store_id = store.archive_index.known()
    if not service or not store_id:
        try:
            _check_free(config, files, service, store_id)
        except ForeignArchive:
            known = store.archive_index.known()
            if known == (service, store_id):
                raise
            # Another process of this service claimed the folder in between: it noted the service first.
            service, store_id = known
            _check_free(config, files, service, store_id)
        service, store_id = store.archive_index.note(service or secrets.token_hex(16), store_id)
    if not store_id:
        claimed = files.claim(_owner(config, service))
        service, store_id = store.archive_index.note(service, claimed)
    owner = _owner(config, service)
    files.open(store_id, owner)
    try:
        files.touch()
    except WrongArchive:
        raise
    except ArchiveUnavailable:
        pass  # a read-only disk: the keeper reports it, and the files can be read
    return owner, store_id


def _check_free(config: Config, files: ArchiveStore, service: str, store_id: str) -> None:
    """Refuse a marked folder, before anything is written, unless it is known to be this service's."""
    mark = _mark_of(files)
    if mark is None or (service and mark.owner.service == service):
        return
    if mark.owner.service or not store_id:
        raise ForeignArchive(_belongs(config, mark))


def _belongs(config: Config, mark: Mark) -> str:
    return f"{config.archive.url} belongs to {mark}, and this Redis does not know it"


@dataclass(frozen=True, slots=True)
class Service:
    """A service as a program uses it without a node."""

    config: Config
    store: RedisSessionStore
    messages: ExternalMessages
    archiver: Archiver
    keeper: ArchiveKeeper
    close: Callable[[], None]


def open_service(url: str, config: Config | None = None, *, lenient: bool = False) -> Service:
    """Open store, message queue and archive of the service on the Redis at `url`.

    Args:
        config: none: config.json and the environment.
        lenient: as in `open_archiver`, whose errors this raises.
    """
    config = config or load_config()
    client = redis_factory(url, config.redis.max_connections)()
    store = make_store(config, client)
    try:
        store.open()
        archiver, keeper = open_archiver(config, store, lenient=lenient)
    except BaseException:
        client.close()
        raise
    messages = ExternalMessages(client, store.keys)
    return Service(config, store, messages, archiver, keeper, client.close)
