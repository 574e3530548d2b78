"""`muster backup`: Redis at one moment, and the archive at that moment or later, in one folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from service.archive.file_store import path_of_url
from service.cli import options
from service.cli.backup import files
from service.cli.backup.servers import check_snapshot
from service.config.data_folder import find_redis, with_archive
from service.config.loader import Config, load_config
from service.errors import ServiceError
from service.manager.manager import SessionManager
from service.observability.logs import printable
from service.redis_access.snapshot import read_snapshot
from service.sessions.model import to_iso
from service.version import installed_version


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder to make; there must be nothing in it.")],
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Copy Redis, at one moment, and the archive into a new folder, while the service runs.

    Everything that was acked before the command began is in it. The folder gets its name when it is whole and
    checked: one that is there is a backup. Nothing of the service is changed.
    """
    settings = load_config(config)
    url = find_redis(settings, redis, data)
    settings = with_archive(settings, redis, data)
    try:
        with (
            options.connected(url, settings) as manager,
            files.new_folder(folder) as unfinished,
        ):
            manifest, unreadable = _fill(unfinished, manager, settings)
    except KeyboardInterrupt:
        typer.echo(f"Interrupted: there is no backup in {folder}.", err=True)
        raise
    if json_output:
        shown = {**asdict(manifest), "unreadable": unreadable}
        options.show_json({"backup": str(folder.absolute()), **shown})
    else:
        size = (folder / files.SNAPSHOT).stat().st_size
        typer.echo(
            f"{folder}: Redis of {manifest.made_at} ({size} bytes), {manifest.archived_files} archived files."
        )
        for name in unreadable:
            typer.echo(f"{printable(name)} is not in it: it cannot be read", err=True)
    if unreadable:
        raise typer.Exit(1)


def _fill(
    folder: Path, manager: SessionManager, settings: Config
) -> tuple[files.Manifest, list[str]]:
    store = manager.store
    if manager.archiver.exists:
        manager.archiver.archive.store.identify()  # or the reason why it cannot be had
    # Redis first: a session that moves meanwhile is in the snapshot, in a file, or in both.
    moment_ms, client = store.now_ms(), store.runner.client
    with (folder / files.SNAPSHOT).open("xb") as opened:
        summed = files.Summed(opened)
        read_snapshot(client, summed.write)
    sums = {files.SNAPSHOT: summed.digest}
    wrong = check_snapshot(folder / files.SNAPSHOT)
    if wrong:
        raise ServiceError(f"The snapshot of Redis is damaged: {wrong}")
    unreadable: list[str] = []
    if manager.archiver.exists:
        root = path_of_url(settings.archive.url)
        archived, unreadable = files.copy_archive(
            manager.archiver.archive.store, root, folder / files.ARCHIVE
        )
        sums |= {f"{files.ARCHIVE}/{name}": digest for name, digest in archived.items()}
    manifest = files.Manifest(
        format=files.FORMAT,
        moment_ms=moment_ms,
        made_at=str(to_iso(moment_ms)),
        version=installed_version(),
        server=str(store.fleet.server()["version"]),
        key_prefix=store.keys.prefix,
        database=int(client.connection_pool.connection_kwargs.get("db") or 0),
        partitions=store.keys.partitions,
        sums_sha256=files.write_sums(folder, sums),
        archived_files=max(0, len(sums) - 2),
        unreadable=len(unreadable),
    )
    files.check_files(folder, manifest)
    files.write_manifest(folder, manifest)
    return manifest, unreadable
