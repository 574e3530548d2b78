"""`muster config`: the settings, where each comes from, and whether they hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from service.archive.file_store import path_of_url
from service.cli import options
from service.cli.tables import Column, show_table
from service.config.loader import Loaded, inspect, load, redacted
from service.config.settings import EMBEDDED
from service.errors import ConfigError
from service.redis_access.clients import queue_factory, redis_factory

config = typer.Typer(
    help="Check and show the settings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@config.command()
def check(
    file: options.ConfigOption = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Check for nodes that are started with --insecure.")
    ] = False,
    json_output: options.JsonOption = False,
) -> None:
    """Check the settings of this environment; exit code 2 if any is invalid, and all of them are named.

    Also names what a node would refuse, such as an address that others can reach without a login.
    Nothing is connected.
    """
    loaded = inspect(file)
    faults = [*loaded.faults, *_what_a_node_refuses(loaded, insecure=insecure)]
    if json_output:
        about = {"file": str(loaded.path), "ignored": loaded.ignored}
        options.show_json({"ok": not faults, "faults": faults, **about})
        raise typer.Exit(2 if faults else 0)
    _warn(loaded)
    if faults:
        raise ConfigError("\n".join(faults))
    typer.echo(f"{loaded.path} and the environment are valid.")


def _what_a_node_refuses(loaded: Loaded, *, insecure: bool) -> Iterator[str]:
    """Yield what is wrong with settings that are possible each by itself, without opening anything."""
    from service.node.ground import require_login

    redis, archive = loaded.config.redis, loaded.config.archive
    checks: list[Callable[[], Any]] = []
    if not {"node.host", "auth.mode"} & loaded.wrong:
        checks.append(lambda: require_login(loaded.config, insecure=insecure))
    if redis.url != EMBEDDED:
        checks.append(lambda: redis_factory(redis.url)())
    if redis.queue_url:
        checks.append(lambda: queue_factory(redis.queue_url, redis.url)())
    if archive.url:
        checks.append(lambda: path_of_url(archive.url))
    for one in checks:
        try:
            one()
        except ConfigError as exc:
            yield str(exc)


@config.command()
def show(
    file: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Show every setting with its value and its source; passwords are hidden."""
    loaded = load(file)
    values = redacted(loaded.config)
    if json_output:
        options.show_json({"settings": values, "sources": dict(loaded.sources)})
        return
    _warn(loaded)
    rows = [
        [f"{group}.{key}", json.dumps(value), loaded.sources[f"{group}.{key}"]]
        for group, keys in values.items()
        for key, value in keys.items()
    ]
    show_table(["setting", Column("value", wraps=True), "from"], rows, "")


def _warn(loaded: Loaded) -> None:
    for name in loaded.ignored:
        typer.echo(f"note: {name} is not a setting (two underscores after the group)", err=True)
