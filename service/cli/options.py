"""What the commands share that ask a running service: which Redis, and how answers are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.config.data_folder import DEFAULT_DATA, archive_url, read_url
from service.config.loader import Config, load_config, redact_url
from service.config.settings import EMBEDDED
from service.errors import ConfigError, StoreUnavailable
from service.observability.logs import printable
from service.redis_access.trouble import trouble_of

if TYPE_CHECKING:
    from service.manager.manager import SessionManager

RedisOption = Annotated[
    str | None,
    typer.Option("--redis", help="URL of Redis; without it that of --data, else redis.url."),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data folder of a `muster up`; ./muster-data.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Path of the settings file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def find_redis(config: Config, redis: str | None, data: Path | None) -> str:
    """Return the URL to ask: the flags, the settings, or the folder of a `muster up` that runs here.

    Raises:
        ConfigError: Nothing names one.
    """
    if redis:
        return redis
    if data is not None:
        url = read_url(data)
        if url is None:
            raise ConfigError(
                f"--data: {data} is no data folder of a `muster up` (no redis.url in it)"
            )
        return url
    if config.redis.url != EMBEDDED:
        return config.redis.url
    url = read_url(DEFAULT_DATA)
    if url is None:
        raise ConfigError(
            "which Redis? Give --redis redis://host:6379/0, or --data with the folder of a running "
            "`muster up`, or set MUSTER_REDIS__URL"
        )
    return url


@contextmanager
def open_manager(
    redis: str | None, data: Path | None, config: Path | None
) -> Iterator[SessionManager]:
    """Open a SessionManager on the Redis that the options name.

    Raises:
        ConfigError: None is named, or its layout is another one.
        StoreUnavailable: It does not answer.

    An archive that cannot be had is none of these: whatever needs it says so.
    """
    settings = load_config(config)
    url = find_redis(settings, redis, data)
    with connected(url, with_archive(settings, redis, data)) as manager:
        yield manager


def with_archive(settings: Config, redis: str | None, data: Path | None) -> Config:
    """Return the settings with the archive of the `muster up` that `find_redis` finds, if they name none."""
    if settings.archive.url or redis or (data is None and settings.redis.url != EMBEDDED):
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


@contextmanager
def connected(url: str, settings: Config) -> Iterator[SessionManager]:
    """Open a SessionManager on this Redis, whatever became of its archive; raises as `open_manager`."""
    from service.manager.manager import SessionManager

    try:
        manager = SessionManager.connect(url, settings, lenient=True)
        try:
            yield manager
        finally:
            manager.close()
    except StoreUnavailable as exc:
        why = trouble_of(exc)
        raise StoreUnavailable(f"Redis at {redact_url(url)} cannot be reached: {why}.") from exc


def show_json(value: Any) -> None:
    """`value` on standard output, for programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """Rows for people; `empty` when there are none. What devices sent is shown on one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        typer.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(printable("" if cell is None else str(cell))) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 10_000  # a pipe has no edge; nothing is cut off
    console.print(table)


def when(seconds: float | None) -> str:
    """Return a point in time for people, in local time."""
    from datetime import datetime

    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
