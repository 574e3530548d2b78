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
from service.errors import FileNotFound, ServiceError
from service.observability.logs import printable

quarantine = typer.Typer(
    help="Files that could not be read as what their name says: list, show, put back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ItemArgument = Annotated[str, typer.Argument(help="As `list` shows it.")]


@quarantine.command("list")
def list_items(
    place: ArchiveOption = None,
    data: options.DataOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """List what is in quarantine, the oldest first, and why."""
    items = open_archive(place, data).store.quarantined()
    if json_output:
        options.show_json({"items": [_shown(one) for one in items]})
        return
    options.show_table(
        ["item", "since", "session", "bytes", "reason"],
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
        "Nothing is in quarantine.",
    )


@quarantine.command()
def show(
    item: ItemArgument,
    place: ArchiveOption = None,
    data: options.DataOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Show one file: where it was, why it is here, and whether it can be read now."""
    opened = open_archive(place, data)
    found = _find(opened, item)
    shown = {**_shown(found), "now": opened.check_quarantined(found) or "it can be read"}
    if json_output:
        options.show_json(shown)
    else:
        shown["at"] = options.when(shown["at"])
        options.show_table(["field", "value"], [[*pair] for pair in shown.items()], "")


@quarantine.command("put-back")
def unquarantine(
    item: ItemArgument,
    force: Annotated[bool, typer.Option("--force", help="Also when it is still bad.")] = False,
    place: ArchiveOption = None,
    data: options.DataOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Move a file back to where it was, when it can be read by now."""
    opened = open_archive(place, data)
    found = _find(opened, item)
    wrong = opened.check_quarantined(found)
    if wrong and not force:
        raise ServiceError(f"{item} stays: {wrong}. (--force moves it all the same.)")
    try:
        name = opened.store.unquarantine(item)
    except NameTaken as exc:
        raise ServiceError(f"{item} stays: there is a file {found.name} again.") from exc
    except BadRecord as exc:
        raise ServiceError(f"{item} stays: {exc.reason}.") from exc
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
