"""`muster archive adopt`: an operator makes an archive belong to this service."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from service.archive.errors import ArchiveUnavailable
from service.archive.marker import Mark
from service.archiving.keeper import RECENT_S
from service.cli import options
from service.cli.archive.folder import ArchiveOption
from service.config.data_folder import find_archive, find_redis
from service.config.loader import load_config
from service.errors import ConfigError, Conflict
from service.observability.logs import printable

ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Take it even if its owner was seen recently, or if this service has another archive.",
    ),
]


def adopt(
    force: ForceOption = False,
    place: ArchiveOption = None,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Take over an archive: after Redis lost its data, or from a service that no longer exists.

    Shows the owner and its last heartbeat. If the owner was seen within the last five minutes, --force
    is required. Afterwards the archive refuses the nodes and workers of the former owner.
    """
    from service.connect import adopt_archive, make_store, open_files
    from service.redis_access.clients import redis_factory

    settings = load_config(config)
    url = find_redis(settings, redis, data)
    where = find_archive(settings, place, data)
    settings = settings.model_copy(
        update={"archive": settings.archive.model_copy(update={"url": where})}
    )
    if not where:
        raise ConfigError(
            "--archive: no archive given: use --archive or --data, or set archive.url"
        )
    files = open_files(settings)
    try:
        mark = files.identify()
    except ArchiveUnavailable as exc:
        raise ConfigError(f"--archive: {exc.message}") from exc
    if not json_output:
        typer.echo(printable(f"{where} belongs to {mark}."))
    with redis_factory(url)() as client:
        store = make_store(settings, client)
        store.open()
        service, known = store.archive_index.known()
        mine = bool(service) and (mark.owner.service, mark.store_id) == (service, known)
        store_id = known
        if not mine:
            if not force:
                _check(mark, service, known, files.silent_s())
            store_id = adopt_archive(settings, store, files, mark.store_id)
            service = store.archive_index.known()[0]
    if json_output:
        options.show_json(_shown(mark, where, service, store_id, not mine))
    elif mine:
        typer.echo("It already belongs to this service: there is nothing to do.")
    else:
        typer.echo(
            f"It now belongs to this service ({service}). Sessions are restored when their devices "
            "register; `muster archive reindex` lists all of them again."
        )


def _check(mark: Mark, service: str, known: str, silent_s: float) -> None:
    if known and known != mark.store_id:
        raise Conflict(
            f"This service has another archive, {known}: its sessions would no longer be found. If that "
            "archive is lost, use --force."
        )
    if not mark.owner.service:
        raise Conflict(
            "Its marker names no service, so there is no heartbeat to check: if no service uses it any "
            "more, use --force."
        )
    if mark.owner.service != service and silent_s < RECENT_S:
        ago = f"{silent_s:.0f} s ago" if silent_s >= 0 else "in the future (a clock was wrong)"
        raise Conflict(
            f"Its owner was seen {ago}: stop its nodes and workers and wait "
            f"{RECENT_S / 60:.0f} minutes, or use --force if they will never run again."
        )


def _shown(mark: Mark, url: str, service: str, store_id: str, adopted: bool) -> dict[str, Any]:
    return {
        "archive": url,
        "adopted": adopted,
        "service": service,
        "store_id": store_id,
        "was": {**asdict(mark.owner), "store_id": mark.store_id, "seen_at": mark.seen_at},
    }
