"""`muster restore`: puts a backup into an empty Redis and an empty archive, or into those of the same service.

While it works, `P:meta` has the field `restoring`: no node or worker starts there, and running it again begins from the
start. It is taken away last, when the index has every file and everything was checked.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import redis
import typer

from service.archive import walk
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore, path_of_url
from service.archive.marker import MARKER
from service.archiving.archiver import Archiver
from service.cli import options
from service.cli.archive.imports import reindex_all
from service.cli.backup import files, keys
from service.cli.backup.servers import server_of_folder, server_of_snapshot
from service.config.data_folder import archive_url, find_redis, with_archive
from service.config.loader import Config, load_config, queue_name, redact_url
from service.config.settings import EMBEDDED
from service.connect import make_store
from service.errors import ConfigError, Conflict, ServiceError
from service.redis_access.clients import redis_factory
from service.redis_access.replies import translated
from service.sessions.store.layout import RESTORING
from service.sessions.store.store import RedisSessionStore


def restore(
    folder: Annotated[Path, typer.Argument(help="Folder that `muster backup` made.")],
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Remove what this service has in Redis, and rename an archive folder that is not its own.",
        ),
    ] = False,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Put a backup into a Redis and an archive folder; no node or worker may run on them.

    With --data, Redis is that of the data folder, in which no `muster up` may run; it may be a new one. Files that
    the service's own archive has already stay; of two states of a session, the newer one counts.
    """
    manifest = files.read_manifest(folder)
    settings = load_config(config)
    _say(f"Checking {folder} …")
    sums = files.check_files(folder, manifest)
    try:
        with _target(settings, redis, data, _say) as (url, target_settings):
            shown = _Restore(folder, manifest, sums, target_settings, _say).into(url, replace)
    except KeyboardInterrupt:
        _say("Interrupted: nodes and workers do not start there until it is run again.")
        raise
    if json_output:
        options.show_json(shown)
    else:
        typer.echo(" · ".join(f"{name} {value}" for name, value in shown.items()))
    if shown["bad"]:
        raise typer.Exit(1)


def _say(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def _target(
    settings: Config, url: str | None, data: Path | None, say: Callable[[str], None]
) -> Iterator[tuple[str, Config]]:
    """Yield where to restore to: a Redis that runs, or that of a data folder, which runs meanwhile."""
    if url or (data is None and settings.redis.url != EMBEDDED):
        yield find_redis(settings, url, None), with_archive(settings, url, data)
        return
    if data is None:
        raise ConfigError(
            "where to? Give the URL of a Redis (--redis), or a data folder (--data), or set MUSTER_REDIS__URL"
        )
    if settings.redis.url != EMBEDDED:
        yield find_redis(settings, None, data), _with_folder(settings, data)
        return
    with server_of_folder(data, say) as found:
        yield found, _with_folder(settings, data)


def _with_folder(settings: Config, data: Path) -> Config:
    if settings.archive.url:
        return settings
    archive = settings.archive.model_copy(update={"url": archive_url(data)})
    return settings.model_copy(update={"archive": archive})


class _Restore:
    """One restore."""

    def __init__(
        self,
        folder: Path,
        manifest: files.Manifest,
        sums: dict[str, str],
        settings: Config,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._sums = sums
        self._settings = settings
        self._say = say
        self._queue = queue_name(settings.redis.key_prefix)

    def into(self, url: str, replace: bool) -> dict[str, Any]:
        """Restore into the Redis at `url` and the archive of the settings; return what came of it."""
        self._check_settings()
        snapshot = self._folder / files.SNAPSHOT
        with (
            redis_factory(url)() as client,
            redis_factory(url)(decode_responses=False) as raw,
            server_of_snapshot(snapshot, self._manifest.database, self._say) as source,
            translated(),
        ):
            meta: Any = source.hgetall(f"{self._manifest.key_prefix}:meta")
            if not meta:
                raise ServiceError("The snapshot has no service in it.")
            store = make_store(self._settings, client)
            self._check_target(store, client, url, replace)
            root = self._check_archive(meta, replace)
            mark = f"{store.now_ms()} {secrets.token_hex(8)}".encode()
            target = keys.Target(raw, store.keys.meta, RESTORING, mark)
            raw.hset(store.keys.meta, RESTORING, mark)
            target.empty(store.keys.prefix, self._queue)
            with target.writing() as pipe:
                pipe.delete(store.keys.meta)
                pipe.hset(store.keys.meta, mapping={**meta, RESTORING.encode(): mark})
            self._say("Copying what was in Redis …")
            count = keys.copy(source, target, store.keys.prefix, self._queue)
            found = keys.count(raw, store.keys.prefix, self._queue)
            if found < count:
                self._say(f"{count - found} keys had run out since: see sessions.ttl_s")
            store.open(restoring=True)
            shown = {"keys": found, **self._restore_archive(store, root)}
            with target.writing() as pipe:
                pipe.hdel(store.keys.meta, RESTORING)
            return {**store.index.counts(), **shown}

    def _check_settings(self) -> None:
        for name in ("key_prefix", "partitions"):
            ours, theirs = getattr(self._settings.redis, name), getattr(self._manifest, name)
            if ours != theirs:
                raise ConfigError(
                    f"redis.{name}: the backup is of a service with {theirs}, not {ours}"
                )
        if not self._settings.archive.url and self._manifest.archived_files:
            raise ConfigError("archive.url: the backup has an archive, and the setting names none")

    def _check_target(
        self, store: RedisSessionStore, client: redis.Redis, url: str, replace: bool
    ) -> None:
        running = [*store.fleet.nodes(), *store.fleet.workers()]
        if running:
            names = ", ".join(one.get("node_id") or one.get("worker", "") for one in running)
            raise Conflict(f"Nodes or workers run there: stop them first ({names}).")
        is_ours = client.hexists(store.keys.meta, RESTORING)
        with redis_factory(url)(decode_responses=False) as raw:
            used = next(keys.keys_of(raw, store.keys.prefix), None)
        if used is not None and not is_ours and not replace:
            raise Conflict(
                f"Redis at {redact_url(url)} has data of a service with redis.key_prefix {store.keys.prefix}: to "
                "remove it, use --replace."
            )

    def _check_archive(self, meta: dict[bytes, bytes], replace: bool) -> Path | None:
        """Return the archive's folder, which is empty, ours, or was begun by an earlier try."""
        if not self._settings.archive.url or b"archive" not in meta:
            return None
        root = path_of_url(self._settings.archive.url)
        present = list(root.iterdir()) if root.is_dir() else []
        wanted = (self._folder / files.ARCHIVE / MARKER).read_bytes()
        marker = root / MARKER
        if not present or (marker.exists() and _same(marker.read_bytes(), wanted)):
            return root
        begun = {path.partition("/")[2].partition("/")[0] for path in self._sums if "/" in path}
        if not marker.exists() and {one.name for one in present} <= begun:
            return root
        if not replace:
            raise Conflict(f"{root} is not empty: with --replace it is renamed.")
        aside = root.with_name(f"{root.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        try:
            root.rename(aside)
        except OSError as exc:
            raise ConfigError(f"{root} cannot be renamed to {aside}: {exc.strerror}") from exc
        self._say(f"{root} is {aside} now.")
        return root

    def _restore_archive(self, store: RedisSessionStore, root: Path | None) -> dict[str, Any]:
        if root is None:
            return {"files": 0, "bad": 0}
        self._say("Copying the archive …")
        start = f"{files.ARCHIVE}/"
        names = [path.removeprefix(start) for path in self._sums if path.startswith(start)]
        # the marker last: a folder without it is refused
        for name in sorted(names, key=lambda name: name == MARKER):
            if not (root / name).exists():
                content = (self._folder / files.ARCHIVE / name).read_bytes()
                temporary = root / f"{name}.new"
                files.write_file(temporary, content)
                temporary.rename(root / name)
        opened = FileArchiveStore(root)
        opened.open(opened.identify().store_id)
        archive = Archive(opened, self._settings.archive.compression_level)
        self._say("Checking the archive, and adding its files to the index …")
        bad = sum(1 for one in walk.verdicts(archive) if one.wrong)
        counts, _ = reindex_all(Archiver(store, archive))
        gone = _forget_missing(store, opened)
        about = {"files": len(names) - 1, "bad": bad, "deleted meanwhile": gone}
        return {**about, **{f"index {word}": count for word, count in counts.items()}}


def _same(one: bytes, other: bytes) -> bool:
    """Return whether two markers are of one archive of one service."""
    with contextlib.suppress(ValueError, AttributeError):
        first, second = json.loads(one), json.loads(other)
        return all(first.get(name) == second.get(name) for name in ("store_id", "service"))
    return False


def _forget_missing(store: RedisSessionStore, opened: FileArchiveStore) -> int:
    """Take sessions out of the index that were deleted while the backup was made; return how many."""
    gone = 0
    for partition in range(store.keys.partitions):
        names = store.keys.archive_names(partition)
        for session_id, name in store.runner.client.hscan_iter(names, count=1000):
            if not opened.find(session_id):
                gone += store.archive_index.forget(session_id, name)
    return gone
