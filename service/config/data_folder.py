"""The data folder of a `muster up`, in which other programs find its Redis and its archive."""

from __future__ import annotations

from pathlib import Path

from service.config.loader import Config
from service.config.settings import EMBEDDED
from service.errors import ConfigError

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


def find_redis(config: Config, url: str | None, data: Path | None) -> str:
    """Return the URL to ask: `url`, that of the folder, the settings, or the folder of a `muster up` here.

    Raises:
        ConfigError: Nothing names one.
    """
    if url:
        return url
    if data is not None:
        url = read_url(data)
        if url is None:
            raise ConfigError(f"{data} is no data folder of a `muster up` (no redis.url in it)")
        return url
    if config.redis.url != EMBEDDED:
        return config.redis.url
    url = read_url(DEFAULT_DATA)
    if url is None:
        raise ConfigError(
            "which Redis? Give its URL (--redis redis://host:6379/0), or the folder of a running "
            "`muster up` (--data), or set MUSTER_REDIS__URL"
        )
    return url


def with_archive(settings: Config, url: str | None, data: Path | None) -> Config:
    """Return the settings with the archive of the `muster up` that `find_redis` finds, if they name none."""
    if settings.archive.url or url or (data is None and settings.redis.url != EMBEDDED):
        return settings
    archive = settings.archive.model_copy(update={"url": find_archive(settings, None, data)})
    return settings.model_copy(update={"archive": archive})


def find_archive(config: Config, place: str | None, data: Path | None) -> str:
    """Return the URL of the archive that flags and settings name, else that of a `muster up` here.

    An empty one where that has none either.
    """
    if place is not None:
        return place if "://" in place else Path(place).absolute().as_uri()
    if config.archive.url and data is None:
        return config.archive.url
    folder = data or DEFAULT_DATA
    if data is None and not (folder / "archive").exists():
        return ""
    return config.archive.url or archive_url(folder)
