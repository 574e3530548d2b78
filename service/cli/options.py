"""What the commands share that ask a running service: which Redis, and how answers are shown."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.acting import Actor, acting_for
from service.config.data_folder import find_redis, with_archive
from service.config.loader import Config, load_config, redact_url
from service.errors import StoreUnavailable
from service.observability.logs import escape
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
WideOption = Annotated[
    bool, typer.Option("--wide", "-w", help="Show all columns, also beyond the edge of a terminal.")
]


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
            with acting_for(person()):
                yield manager
        finally:
            manager.close()
    except StoreUnavailable as exc:
        why = trouble_of(exc)
        raise StoreUnavailable(f"Redis at {redact_url(url)} cannot be reached: {why}.") from exc


def person() -> Actor:
    """Return who runs this command: the user of this machine. Who can reach Redis may do everything."""
    try:
        who = getpass.getuser()
    except (OSError, KeyError, ImportError):  # one without a name
        who = ""
    return Actor(who, "admin", "cli")


def show_json(value: Any) -> None:
    """Write `value` on standard output, for programs: nothing in it acts on a terminal."""
    typer.echo(harmless_json(value, indent=2))


def harmless_json(value: Any, **layout: Any) -> str:
    """Return `value` as JSON without raw controls and characters that change the direction of text."""
    text = json.dumps(value, ensure_ascii=False, default=str, **layout)
    return "\n".join(map(escape, text.split("\n")))


def when(seconds: float | None) -> str:
    """Return a point in time for people, in local time."""
    from datetime import datetime

    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """Return how long something took or lasts, for people: in one unit, and never negative."""
    seconds = max(0.0, seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
