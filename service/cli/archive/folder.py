"""Which archive the commands work on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, WrongArchive
from service.archive.file_store import FileArchiveStore, path_of_url
from service.cli import options
from service.config.loader import Config, load_config
from service.errors import ConfigError

ArchiveOption = Annotated[
    str | None,
    typer.Option(
        "--archive",
        help="Its folder, or a file:// URL; else archive/ in --data, else archive.url.",
    ),
]


def archive_url(data: Path) -> str:
    """The archive of a `muster up` with this data folder and no `archive.url`."""
    return (data.absolute() / "archive").as_uri()


def find_archive(config: Config, place: str | None, data: Path | None) -> str:
    """The URL of the archive that flags and settings name, else that of a `muster up` here.

    An empty one where that has none either.
    """
    if place is not None:
        return place if "://" in place else Path(place).absolute().as_uri()
    if config.archive.url and data is None:
        return config.archive.url
    folder = data or options.DEFAULT_DATA
    if data is None and not (folder / "archive").exists():
        return ""
    return config.archive.url or archive_url(folder)


def open_archive(place: str | None, data: Path | None) -> Archive:
    """The archive that the options name; it must be there.

    Raises:
        ConfigError: There is none.
    """
    config = load_config()
    url = find_archive(config, place, data) or archive_url(options.DEFAULT_DATA)
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
