"""`muster config`: the settings, where each comes from, and whether they hold."""

from __future__ import annotations

import json

import typer

from service.cli import options
from service.config.loader import Loaded, load, redacted

config = typer.Typer(
    help="Check and show the settings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@config.command()
def check(
    file: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Check the settings of this environment; exit code 2 if one is invalid."""
    loaded = load(file)
    if json_output:
        options.show_json({"ok": True, "file": str(loaded.path), "ignored": loaded.ignored})
        return
    _warn(loaded)
    typer.echo(f"{loaded.path} and the environment are valid.")


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
    options.show_table(["setting", "value", "from"], rows, "")


def _warn(loaded: Loaded) -> None:
    for name in loaded.ignored:
        typer.echo(f"note: {name} is not a setting (two underscores after the group)", err=True)
