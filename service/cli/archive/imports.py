"""`muster archive import` and `reindex`: what needs Redis in addition to the archive."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from service.acting import acting_for
from service.archive import walk
from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, BadRecord, RecordTooLarge, WrongArchive
from service.archive.names import SUFFIX, new_capture, parse_name
from service.archive.record import Record, decode
from service.archiving.archiver import Archiver
from service.archiving.imports import record_of_histories
from service.archiving.records import index_entry, snapshot_of
from service.archiving.unquarantine import bring_forward
from service.cli import options
from service.cli.archive.folder import ArchiveOption
from service.config.data_folder import find_archive, find_redis
from service.config.loader import load_config
from service.errors import ConfigError, InvalidRequest, ServiceError
from service.observability.logs import printable
from service.schema.limits import CALL_SESSIONS
from service.schema.names import check_name
from service.sessions.store.archive_index import IndexEntry

#: Files per call of the index.
_BATCH = CALL_SESSIONS

#: Data key → `[value, ts]`, oldest first.
Histories = dict[str, list[list[Any]]]


def open_service(
    place: str | None, redis: str | None, data: Path | None, config: Path | None
) -> tuple[Archiver, Any]:
    """Return the archiver of the service that the options name, and what closes it.

    Raises:
        ConfigError: there is no archive, or it is another service's.
    """
    from service.manager.manager import SessionManager

    settings = load_config(config)
    url = find_redis(settings, redis, data)
    where = find_archive(settings, place, data)
    archive = settings.archive.model_copy(update={"url": where})
    opened = ExitStack()
    manager = SessionManager.connect(url, settings.model_copy(update={"archive": archive}))
    opened.callback(manager.close)
    if not manager.archiver.exists:
        opened.close()
        raise ConfigError(
            "--archive: no archive given: use --archive or --data, or set archive.url"
        )
    opened.enter_context(acting_for(options.person()))
    return manager.archiver, opened.close


def reindex(
    place: ArchiveOption = None,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Add every archived session to the index in Redis again, after Redis lost data or was replaced.

    A file that is newer than the state in Redis replaces it (`newer`), unless the session is
    connected or has changed since (`beside`: see `put-back`). Newer states in Redis, newer files in
    the index, and deletions of the last hour stay unchanged. Invalid files are moved to quarantine.
    The command may run while the service is running, and it may run twice.
    """
    archiver, close = open_service(place, redis, data, config)
    try:
        counts, bad = reindex_all(archiver)
    finally:
        close()
    shown = {"indexed": counts.pop("ok", 0), **counts, "bad": bad}
    if json_output:
        options.show_json(shown)
    else:
        typer.echo(" · ".join(f"{name} {count}" for name, count in shown.items()))


def reindex_all(archiver: Archiver) -> tuple[dict[str, int], int]:
    """Add every session's newest file to the index; return the number by answer, and that of bad files."""
    counts: dict[str, int] = {}
    batch: list[IndexEntry] = []
    bad = 0
    for entry in _headers(archiver.archive):
        if entry is None:
            bad += 1
            continue
        batch.append(entry)
        if len(batch) == _BATCH:
            _index(archiver, batch, counts)
            batch = []
    _index(archiver, batch, counts)
    return counts, bad


def put_back(
    name: Annotated[str, typer.Argument(help="A file, as `verify` shows it.")],
    place: ArchiveOption = None,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Make an older file the newest state of its session again.

    The current state is archived first and kept as an older file, so the same command can undo
    this. A session that is connected, has clients or has open commands stays unchanged.
    """
    archiver, close = open_service(place, redis, data, config)
    try:
        parse_name(name)
        now = bring_forward(archiver, name)
    except BadRecord as exc:
        raise ServiceError(f"{printable(name)}: {exc.reason}.") from exc
    finally:
        close()
    if json_output:
        options.show_json({"put_back": name, "name": now})
    else:
        typer.echo(f"{name} is now {now}, the newest file of its session.")


def _headers(archive: Archive) -> Iterator[IndexEntry | None]:
    """Yield one entry per session, its newest file; None for one that is bad or cannot be read."""
    for name in walk.newest_names(archive.store):
        try:
            header = archive.load_header(name)
        except BadRecord as exc:
            typer.echo(f"{printable(name)} was moved to quarantine: {exc.reason}", err=True)
            yield None
            continue
        except WrongArchive:
            raise
        except ArchiveUnavailable as exc:
            typer.echo(f"{printable(name)} is left out: {exc.message}", err=True)
            yield None
            continue
        if header is not None:
            yield index_entry(header)


def _index(archiver: Archiver, entries: list[IndexEntry], counts: dict[str, int]) -> None:
    of = archiver.store.keys.partition
    for partition, group in groupby(
        sorted(entries, key=lambda one: of(one.session_id)), key=lambda one: of(one.session_id)
    ):
        for word in archiver.store.archive_index.add(partition, list(group)):
            counts[word] = counts.get(word, 0) + 1


def import_files(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Archive files, folders of them, or NDJSON files of `export`."),
    ],
    place: ArchiveOption = None,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Import sessions into the archive: from a copy of an archive, or from exported histories.

    A file has a complete session. Exported lines become sessions that have only these histories.
    Sessions that the service already has, in Redis or in its archive, stay unchanged.
    """
    archiver, close = open_service(place, redis, data, config)
    counts: dict[str, int] = {"imported": 0}
    try:
        for path in paths:
            for session_id, word in _import(archiver, path):
                counts[word] = counts.get(word, 0) + 1
                if word not in ("imported", "known"):
                    typer.echo(f"{printable(session_id)}: {word}", err=True)
    finally:
        close()
    if json_output:
        options.show_json(counts)
    else:
        typer.echo(" · ".join(f"{name} {count}" for name, count in counts.items()))
    if counts.get("bad"):
        raise typer.Exit(1)


def _import(archiver: Archiver, path: Path) -> Iterator[tuple[str, str]]:
    """Yield what became of each session (or file) below a path."""
    if path.is_dir():
        for file in sorted(path.rglob(f"*{SUFFIX}")):
            if "quarantine" not in file.relative_to(path).parts[:-1]:
                yield from _import_record(archiver, file)
    elif path.name.endswith(SUFFIX):
        yield from _import_record(archiver, path)
    elif path.is_file():
        yield from _import_lines(archiver, path)
    else:
        raise ServiceError(f"There is no {path}.")


def _import_record(archiver: Archiver, path: Path) -> Iterator[tuple[str, str]]:
    try:
        record = decode(path.read_bytes())
        check_name("session_id", record.session_id)
        snapshot_of(record)  # or who wants it back finds it bad
    except (BadRecord, ServiceError, OSError) as exc:
        reason = exc.reason if isinstance(exc, BadRecord) else str(exc)
        typer.echo(f"{printable(str(path))}: {printable(reason)}", err=True)
        yield str(path), "bad"
        return
    yield record.session_id, _take(archiver, record)


def _take(archiver: Archiver, record: Record) -> str:
    """Put a record into archive and index; one that cannot be written there is passed over."""
    try:
        return _put(archiver, record)
    except WrongArchive:
        raise
    except ArchiveUnavailable as exc:
        typer.echo(f"{printable(record.session_id)}: {printable(exc.message)}", err=True)
        return "bad"


def _put(archiver: Archiver, record: Record) -> str:
    """Put a record into archive and index; nothing is left of one that is not wanted."""
    if archiver.archive.store.find(record.session_id):
        return "known"
    if archiver.store.index.get(record.session_id) is not None:
        return "live"
    # a name of its own, so that what is removed again below is never another process's
    capture = new_capture(archiver.store.now_ms())
    record = dataclasses.replace(record, capture=capture, life="", came_from="")
    try:
        (name,) = archiver.archive.save([record])
    except RecordTooLarge:
        return "too_large"
    partition = archiver.store.keys.partition(record.session_id)
    (word,) = archiver.store.archive_index.add(partition, [index_entry(record)])
    if word == "ok":
        return "imported"
    if archiver.store.archive_index.name_of(record.session_id) != name:
        archiver.archive.store.delete([name])
    return word


def _import_lines(archiver: Archiver, path: Path) -> Iterator[tuple[str, str]]:
    with path.open("rb") as lines:
        for session_id, histories in _sessions(path, lines):
            if histories is None:
                yield session_id, "bad"
                continue
            record = record_of_histories(session_id, histories, archiver.store.now_ms())
            yield session_id, _take(archiver, record)


def _sessions(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, Histories | None]]:
    """Yield sessions and their histories; None: one of its lines is bad, so the session is not taken.

    A line whose session cannot be read makes the one before it and the one behind it bad.
    """
    present, histories, is_whole = "", Histories(), True
    was_named = True
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            sample = _sample(line)
        except (ValueError, LookupError, TypeError, InvalidRequest):
            typer.echo(f"{path}, line {number}: is no line of `muster archive export`", err=True)
            is_whole = was_named = False
            continue
        session_id, key, value, ts = sample
        if session_id != present:
            if present or not is_whole:
                yield present or str(path), histories if is_whole and present else None
            present, histories, is_whole = session_id, {}, was_named
        was_named = True
        histories.setdefault(key, []).append([value, ts])
    if present or not is_whole:
        yield present or str(path), histories if is_whole and present else None


def _sample(line: bytes) -> tuple[str, str, Any, float]:
    found = orjson.loads(line)
    session_id, key, ts = found["session_id"], found["key"], found["ts"]
    check_name("session_id", session_id)
    if not isinstance(key, str) or not key or type(ts) not in (int, float):
        raise ValueError(key)
    return session_id, key, found["value"], ts
