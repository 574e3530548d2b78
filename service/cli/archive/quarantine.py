"""`muster archive quarantine`: list, show, put-back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.archive.archive import Archive
from service.archive.errors import BadRecord, NameTaken
from service.archive.store import Quarantined
from service.archive.walk import session_of
from service.cli import options
from service.cli.archive.folder import ArchiveOption, open_archive
from service.cli.tables import Column, show_table
from service.errors import FileNotFound, ServiceError
from service.observability.logs import printable

quarantine = typer.Typer(
    help="List, show and move back invalid files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ItemArgument = Annotated[str, typer.Argument(help="Id of the file, as shown by `list`.")]


@quarantine.command("list")
def list_items(
    place: ArchiveOption = None,
    data: options.DataOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """List the files in quarantine, oldest first, each with the reason."""
    items = open_archive(place, data).store.quarantined()
    if json_output:
        options.show_json({"items": [_shown(one) for one in items]})
        return
    show_table(
        [
            *("item", "since", "session", Column("bytes", right=True)),
            Column("reason", wraps=True),
        ],
        [
            [
                one.item,
                options.when(one.at_ms / 1000),
                session_of(one.name),
                one.size_bytes,
                one.reason,
            ]
            for one in items
        ],
        "The quarantine is empty.",
    )


@quarantine.command()
def show(
    item: ItemArgument,
    place: ArchiveOption = None,
    data: options.DataOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Show one file: its former name, the reason, and whether it is valid now."""
    opened = open_archive(place, data)
    found = _find(opened, item)
    shown = {**_shown(found), "now": opened.check_quarantined(found) or "it is valid"}
    if json_output:
        options.show_json(shown)
    else:
        shown["at"] = options.when(shown["at"])
        show_table(["field", Column("value", wraps=True)], [[*pair] for pair in shown.items()], "")


@quarantine.command("put-back")
def unquarantine(
    item: ItemArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Move the file even if it is still invalid.")
    ] = False,
    place: ArchiveOption = None,
    data: options.DataOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Move a file back to its place, if it is valid now."""
    opened = open_archive(place, data)
    found = _find(opened, item)
    wrong = opened.check_quarantined(found)
    if wrong and not force:
        raise ServiceError(f"{item} stays in quarantine: {wrong}. (--force moves it anyway.)")
    try:
        name = opened.store.unquarantine(item)
    except NameTaken as exc:
        raise ServiceError(
            f"{item} stays in quarantine: a file {found.name} exists again."
        ) from exc
    except BadRecord as exc:
        raise ServiceError(f"{item} stays in quarantine: {exc.reason}.") from exc
    if json_output:
        options.show_json({"item": item, "name": name})
    else:
        typer.echo(f"{item} is {name} again.")


def _find(opened: Archive, item: str) -> Quarantined:
    for one in opened.store.quarantined():
        if one.item == item:
            return one
    raise FileNotFound(f"There is no {printable(item)!r} in quarantine.")


def _shown(one: Quarantined) -> dict[str, Any]:
    return {
        "item": one.item,
        "name": one.name,
        "session_id": session_of(one.name),
        "reason": one.reason,
        "at": one.at_ms / 1000,
        "bytes": one.size_bytes,
    }
