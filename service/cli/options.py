"""What the commands share that ask a running service: which Redis, and how answers are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.config.data_folder import find_redis, with_archive
from service.config.loader import Config, load_config, redact_url
from service.errors import StoreUnavailable
from service.observability.logs import escape, printable
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
    """Write `value` on standard output, for programs: nothing in it acts on a terminal."""
    typer.echo(harmless_json(value, indent=2))


def harmless_json(value: Any, **layout: Any) -> str:
    """Return `value` as JSON without raw controls and characters that change the direction of text."""
    text = json.dumps(value, ensure_ascii=False, default=str, **layout)
    return "\n".join(map(escape, text.split("\n")))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """Print rows; `empty` when there are none. What devices sent is shown on one line."""
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
