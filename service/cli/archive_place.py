"""Which archive the commands of `muster archive` work on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, WrongArchive
from service.archive.file_store import FileArchiveStore, path_of_url
from service.cli import reading
from service.errors import ConfigError

ArchiveOption = Annotated[
    str | None,
    typer.Option("--archive", help="Its folder, or a file:// URL; else archive/ in --data."),
]


def open_archive(place: str | None, data: Path | None) -> Archive:
    """The archive that the options name; it must be there.

    Raises:
        ConfigError: There is none.
    """
    if place is None:
        root = (data or reading.DEFAULT_DATA) / "archive"
    else:
        root = path_of_url(place) if "://" in place else Path(place)
    store = FileArchiveStore(root)
    try:
        store.open(store.identify())
    except WrongArchive as exc:
        raise ConfigError(f"--archive: {exc.message}") from exc
    except ArchiveUnavailable as exc:
        raise ConfigError(
            f"--archive: {exc.message}. Which archive? Give --archive, or --data with the folder "
            "of a `muster up`"
        ) from exc
    return Archive(store)
