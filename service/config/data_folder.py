"""The data folder of a `muster up`, in which other programs find its Redis and its archive."""

from __future__ import annotations

from pathlib import Path

#: The folder of `muster up` unless another one is given, below the current folder.
DEFAULT_DATA = Path("muster-data")


def read_url(folder: Path) -> str | None:
    """Return the URL of the Redis that runs there; None: none does."""
    try:
        return (folder / "redis.url").read_text().strip() or None
    except OSError:
        return None


def archive_url(folder: Path) -> str:
    """Return the URL of the folder's archive, for when `archive.url` names none."""
    return (folder.absolute() / "archive").as_uri()
