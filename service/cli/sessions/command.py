"""`muster sessions`: list, show, tail, disconnect, delete."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from service.cli import options
from service.cli.sessions import deleting
from service.cli.tables import Column, by_state, show_table
from service.cli.token import parse_lifetime
from service.errors import SessionNotFound
from service.observability.logs import printable
from service.schema.limits import AWAY_S, MAX_AWAY_S

sessions = typer.Typer(
    help="List, show, follow and delete sessions, and disconnect devices.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SessionId = Annotated[
    str, typer.Argument(help="The device id; put `--` before it if it begins with `-`.")
]


@sessions.command("list")
def list_sessions(
    state: Annotated[
        Literal["active", "inactive", "archived", "all"],
        typer.Option(help="State of the sessions; all: all that are in Redis."),
    ] = "all",
    q: Annotated[str | None, typer.Option("-q", help="Prefix of the id or the name.")] = None,
    project: Annotated[str | None, typer.Option(help="Only sessions of this project_id.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of sessions.")] = 100,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    wide: options.WideOption = False,
    json_output: options.JsonOption = False,
) -> None:
    """List sessions, active ones first."""
    found: list[dict[str, Any]] = []
    more = False
    with options.open_manager(redis, data, config) as manager:
        now_s = manager.store.now_ms() / 1000
        states = ["active", "inactive"] if state == "all" else [state]
        for one in states:
            cursor: str | None = None
            while len(found) < limit:
                page = manager.get_sessions(
                    one,
                    limit=min(500, limit - len(found)),
                    cursor=cursor,
                    q=q,
                    project_id=project,
                    iso=json_output,
                )
                found += page["sessions"]
                cursor = page["next"]
                if cursor is None:
                    break
            more = more or cursor is not None
    if json_output:
        options.show_json({"sessions": found, "more": more})
        return
    rows = [_row(one, now_s) for one in found]
    show_table(LIST_COLUMNS, rows, "No sessions.", wide=wide)
    if more:
        typer.echo(f"… and more: --limit is {limit}", err=True)


LIST_COLUMNS = (
    *(Column("session"), Column("state", style=by_state), Column("seen")),
    *(Column("open", 1, right=True), Column("name", 2, wraps=True), Column("project", 3)),
    *(Column("node", 4), Column("rev", 5, right=True), Column("last activity", 6)),
)


def _row(one: dict[str, Any], now_s: float) -> list[Any]:
    at_s = one["last_activity"]
    seen = f"{options.duration(now_s - at_s)} ago" if at_s else ""
    return [
        *(one["session_id"], one["state"], seen, one["open_commands"] or ""),
        *(one["session_name"], one["project_id"], one["node_id"] if one["is_connected"] else ""),
        *(one["rev"], options.when(at_s)),
    ]


@sessions.command()
def show(
    session_id: SessionId,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Show a session with all its data."""
    with options.open_manager(redis, data, config) as manager:
        session = manager.get_session(session_id)
        commands = manager.store.commands.all(session_id) if session else []
    if session is None:
        raise SessionNotFound(f"There is no session {printable(session_id)!r}.")
    if json_output:
        options.show_json({**session, "commands": commands})
        return
    nested = {"data", "telemetry", "timeline", "statistics", "setup", "meta"}
    plain = [[name, value] for name, value in session.items() if name not in nested]
    plain += [[name, value] for name, value in session["statistics"].items()]
    plain.append(["setup", _short(session["setup"])])
    show_table(["field", Column("value", wraps=True)], plain, "")
    typer.echo("")
    rows = [
        [key, _short(samples[-1][0]) if samples else "", len(samples)]
        for key, samples in session["data"].items()
    ]
    show_table(
        ["key", Column("latest value", wraps=True), Column("samples kept", right=True)],
        rows,
        "No data.",
    )
    typer.echo("")
    events = [
        [event.pop("at", ""), event.pop("event", ""), _short(event) if event else ""]
        for event in map(dict, session["timeline"])
    ]
    show_table(["at", "event", Column("details", wraps=True)], events, "No events.")


@sessions.command()
def tail(
    session_id: SessionId,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Follow one session live: samples, states, commands; until Ctrl-C."""
    from service.cli.sessions.tail import follow
    from service.config.data_folder import find_redis
    from service.config.loader import load_config

    settings = load_config(config)
    url = find_redis(settings, redis, data)
    with options.connected(url, settings) as manager:
        if manager.store.index.get(session_id) is None:
            raise SessionNotFound(f"There is no session {printable(session_id)!r}.")
        follow(url, manager.store, session_id, as_json=json_output)


@sessions.command()
def disconnect(
    session_id: SessionId,
    retry_after: Annotated[
        float,
        typer.Option(
            min=0, max=MAX_AWAY_S, help="Seconds for which its id is refused; it is no ban."
        ),
    ] = AWAY_S,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Disconnect a device, on whatever node it is; it comes back after --retry-after seconds."""
    with options.open_manager(redis, data, config) as manager:
        was_there = manager.disconnect_device(session_id, retry_after)
    if json_output:
        answer = {"session_id": session_id, "disconnected": was_there}
        options.show_json({**answer, "retry_after_s": retry_after})
    else:
        done = "Disconnected" if was_there else "Not connected:"
        typer.echo(f"{done} {printable(session_id)!r}; it may register in {retry_after:g} s.")


@sessions.command()
def delete(
    session_id: Annotated[
        str | None, typer.Argument(help="The device id; put `--` before it if it begins with `-`.")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="All whose id begins like this, instead of one.")
    ] = None,
    inactive_for: Annotated[
        str | None,
        typer.Option(help="All without a connection and activity for so long: 12h, 30d, 4w."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be deleted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Delete a session, or many, archived ones too; connected devices are notified and disconnected.

    Many are shown first, and deleted after a confirmation. One that changes meanwhile stays.
    """
    if (session_id is None) == (prefix is None and inactive_for is None):
        raise typer.BadParameter("give an id, or --prefix or --inactive-for")
    if prefix == "":
        raise typer.BadParameter("an empty prefix would be all sessions", param_hint="--prefix")
    inactive_s = None if inactive_for is None else _seconds(inactive_for)
    if session_id is None:
        with options.open_manager(redis, data, config) as manager:
            chosen = list(deleting.choose(manager, prefix, inactive_s))
            _show_chosen(chosen, manager.store.now_ms() / 1000, json_output)
            stay: dict[str, str] = {}
            if chosen and not dry_run:
                if not yes:
                    typer.confirm(f"Delete these {len(chosen)} for good?", abort=True, err=True)
                stay = deleting.delete_each(manager, chosen)
        ids = [one.session_id for one in chosen]
        deleted = [] if dry_run else [one for one in ids if one not in stay]
        if json_output:
            options.show_json({"found": ids, "deleted": deleted, "stay": stay})
        elif chosen:
            typer.echo(f"{len(deleted)} of {len(ids)} deleted.")
        raise typer.Exit(1 if stay else 0)
    if dry_run:
        raise typer.BadParameter("is for --prefix and --inactive-for", param_hint="--dry-run")
    if not yes:
        typer.confirm(f"Delete {printable(session_id)!r} with all its data?", abort=True, err=True)
    with options.open_manager(redis, data, config) as manager:
        manager.delete_session(session_id)
    if json_output:
        options.show_json({"deleted": session_id})
    else:
        typer.echo(f"Deleted {printable(session_id)!r}.")


#: More are not shown one by one before they are deleted.
_SHOWN = 20


def _show_chosen(chosen: list[deleting.Chosen], now_s: float, json_output: bool) -> None:
    if json_output:
        return
    rows = [_row(one.summary, now_s) for one in chosen[:_SHOWN]]
    show_table(LIST_COLUMNS, rows, "No sessions.", wide=False)
    if len(chosen) > _SHOWN:
        typer.echo(f"… and {len(chosen) - _SHOWN} more")


def _seconds(text: str) -> float:
    seconds = parse_lifetime(text, "--inactive-for")
    if seconds is None:
        raise typer.BadParameter("should be a time such as 30d", param_hint="--inactive-for")
    return seconds


def _short(value: Any) -> str:
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:200]}…"
