"""`muster archive`: list, verify, export, quarantine work on the archive alone, without Redis.

`import`, `reindex`, `put-back` (archive_import) and `adopt` (archive_adopt) need both.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from service.archive import walk
from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, BadRecord, WrongArchive
from service.archive.record import Header, read_header
from service.cli import options
from service.cli.archive.adopt import adopt
from service.cli.archive.export import LINES, export_samples
from service.cli.archive.folder import ArchiveOption, open_archive
from service.cli.archive.imports import import_files, put_back, reindex
from service.cli.archive.quarantine import quarantine
from service.cli.tables import Column, show_table
from service.errors import SessionNotFound
from service.observability.logs import printable

archive = typer.Typer(
    help="List, check, export and import archived sessions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
archive.add_typer(quarantine, name="quarantine")
archive.command("import")(import_files)
archive.command()(reindex)
archive.command("put-back")(put_back)
archive.command()(adopt)

PrefixOption = Annotated[str | None, typer.Option("-q", help="Prefix of the id or the name.")]
ProjectOption = Annotated[str | None, typer.Option(help="Only sessions of this project_id.")]


@archive.command("list")
def list_archived(
    q: PrefixOption = None,
    project: ProjectOption = None,
    after: Annotated[str, typer.Option(help="`next` of the previous page.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of sessions.")] = 100,
    place: ArchiveOption = None,
    data: options.DataOption = None,
    wide: options.WideOption = False,
    json_output: options.JsonOption = False,
) -> None:
    """List sessions that have a file, each with its newest file.

    A restored session keeps its last file until it is archived again.
    """
    opened = open_archive(place, data)
    bad = 0
    found: list[dict[str, Any]] = []
    more = False
    for name in walk.newest_names(opened.store, after):
        try:
            content = opened.store.get(name)
            header = None if content is None else read_header(content, name)
        except WrongArchive:
            raise
        except (BadRecord, ArchiveUnavailable):
            bad += 1
            continue
        if header is None or not _matches(header, q, project):
            continue
        if len(found) == limit:
            more = True
            break
        found.append(_row(header, len(content or b"")))
    following = found[-1]["name"] if more else None
    if json_output:
        options.show_json({"sessions": found, "next": following, "bad": bad})
        return
    rows = [
        [
            *(row["session_id"], options.when(row["archived_at"]), row["bytes"], row["rev"]),
            *(row["session_name"], row["project_id"], row["name"]),
        ]
        for row in found
    ]
    columns: list[Column | str] = [
        *("session", "archived at", Column("bytes", 1, right=True), Column("rev", 2, right=True)),
        *(Column("name", 3, wraps=True), Column("project", 4), Column("file", 5)),
    ]
    show_table(columns, rows, "No sessions.", wide=wide)
    if more:
        typer.echo(f"… and more: --after {following}", err=True)
    if bad:
        typer.echo(f"{bad} invalid files are left out: see `muster archive verify`", err=True)


def _matches(header: Header, q: str | None, project: str | None) -> bool:
    summary = header.summary
    if project is not None and summary.get("project_id", "") != project:
        return False
    return q is None or any(
        text.startswith(q) for text in (header.session_id, summary.get("session_name", ""))
    )


def _row(header: Header, size: int) -> dict[str, Any]:
    return {
        "session_id": header.session_id,
        "session_name": header.summary.get("session_name", ""),
        "project_id": header.summary.get("project_id", ""),
        "generation": header.generation,
        "rev": header.rev,
        "archived_at": header.archived_at_ms / 1000,
        "bytes": size,
        "name": header.name,
    }


@archive.command()
def verify(
    move: Annotated[
        bool, typer.Option("--quarantine", help="Move invalid files to quarantine.")
    ] = False,
    place: ArchiveOption = None,
    data: options.DataOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Check all checksums of all files; exit code 1 if a file is invalid or cannot be read.

    Also shows files of sessions that have a newer file; `put-back` makes one of them the newest.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    opened = open_archive(place, data)
    total = sum(1 for _ in walk.names(opened.store))
    wrong: list[walk.Verdict] = []
    beside: list[str] = []
    items: dict[str, str | None] = {}
    checked = 0
    progress = Progress(
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with progress:
        task = progress.add_task("checking", total=total)
        for verdict in walk.verdicts(opened):
            checked += 1
            if verdict.beside:
                beside.append(verdict.name)
            if verdict.wrong:
                wrong.append(verdict)
                if move and not verdict.unreadable:
                    items[verdict.name] = opened.store.quarantine(verdict.name, verdict.wrong)
            progress.update(task, completed=checked, total=max(total, checked))
    unreadable = sum(verdict.unreadable for verdict in wrong)
    if json_output:
        options.show_json(
            {
                "ok": not wrong,
                "checked": checked,
                "bad": len(wrong) - unreadable,
                "unreadable": unreadable,
                "beside": beside,
                "wrong": [
                    {
                        "name": verdict.name,
                        "session_id": walk.session_of(verdict.name),
                        "reason": verdict.wrong,
                        "unreadable": verdict.unreadable,
                        "quarantined_as": items.get(verdict.name),
                    }
                    for verdict in wrong
                ],
            }
        )
    else:
        show_table(
            ["file", "session", Column("what is wrong", wraps=True), "quarantined as"],
            [
                [one.name, walk.session_of(one.name), one.wrong, items.get(one.name)]
                for one in wrong
            ],
            "",
        )
        if beside:
            rows = [[one, walk.session_of(one)] for one in beside]
            show_table(["has a newer file", "session"], rows, "")
        bad = len(wrong) - unreadable
        typer.echo(
            f"{checked} files: {bad} bad, {unreadable} cannot be read, {len(beside)} with a newer file."
        )
    if wrong:
        raise typer.Exit(1)


@archive.command()
def export(
    session_ids: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of the sessions; none: all sessions.", show_default=False),
    ] = None,
    form: Annotated[Literal["ndjson", "csv"], typer.Option("--format")] = "ndjson",
    key: Annotated[str | None, typer.Option(help="Only this data key.")] = None,
    q: PrefixOption = None,
    project: ProjectOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", help="Output file; without it standard output.")
    ] = None,
    place: ArchiveOption = None,
    data: options.DataOption = None,
) -> None:
    """Write histories as lines of session_id, key, ts (seconds since 1970) and value.

    In CSV, values that are not numbers are written as JSON or as text that spreadsheets do not read as formulas.
    """
    opened = open_archive(place, data)
    chosen = walk.newest_names(opened.store)
    if session_ids:
        chosen = iter([_newest(opened, one) for one in dict.fromkeys(session_ids)])
    bad = 0
    target = sys.stdout if output is None else output.open("w", encoding="utf-8", newline="")
    try:
        write = LINES[form](target)
        for name in chosen:
            try:
                content = opened.store.get(name)
                if content is None or not _matches(read_header(content, name), q, project):
                    continue
                export_samples(content, name, key, write)
            except WrongArchive:
                raise
            except (BadRecord, ArchiveUnavailable) as exc:
                bad += 1
                typer.echo(f"{printable(name)} is left out: {printable(str(exc))}", err=True)
    finally:
        if output is not None:
            target.close()
    if bad:
        raise typer.Exit(1)


def _newest(opened: Archive, session_id: str) -> str:
    names = opened.store.find(session_id)
    if not names:
        raise SessionNotFound(f"There is no archive of {printable(session_id)!r}.")
    return names[0]
