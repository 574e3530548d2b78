"""Which archive the commands work on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, WrongArchive
from service.archive.file_store import FileArchiveStore, path_of_url
from service.config.data_folder import DEFAULT_DATA, archive_url, find_archive
from service.config.loader import load_config
from service.errors import ConfigError

ArchiveOption = Annotated[
    str | None,
    typer.Option(
        "--archive",
        help="Folder of the archive, or a file:// URL; without it archive/ in --data, else archive.url.",
    ),
]


def open_archive(place: str | None, data: Path | None) -> Archive:
    """Open the archive that the options name; it must be there.

    Raises:
        ConfigError: There is none.
    """
    config = load_config()
    url = find_archive(config, place, data) or archive_url(DEFAULT_DATA)
    store = FileArchiveStore(path_of_url(url))
    try:
        store.open(store.identify().store_id)
    except WrongArchive as exc:
        raise ConfigError(f"--archive: {exc.message}") from exc
    except ArchiveUnavailable as exc:
        raise ConfigError(
            f"--archive: {exc.message}. Which archive? Give --archive, or --data with the folder "
            "of a `muster up`"
        ) from exc
    return Archive(store, config.archive.compression_level)
