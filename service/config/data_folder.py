"""The data folder of a `muster up`: where other programs find its Redis and its archive."""

from __future__ import annotations

from pathlib import Path

#: Where `muster up` keeps its data unless it is told otherwise, below the current folder.
DEFAULT_DATA = Path("muster-data")


def read_url(folder: Path) -> str | None:
    """The URL of the Redis that runs there; None: none does."""
    try:
        return (folder / "redis.url").read_text().strip() or None
    except OSError:
        return None


def archive_url(folder: Path) -> str:
    """The archive that belongs to it where `archive.url` names none."""
    return (folder.absolute() / "archive").as_uri()
