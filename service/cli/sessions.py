"""`muster sessions`: list, show, tail, delete."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from service.cli import options
from service.cli.tables import Column, by_state, show_table
from service.errors import SessionNotFound
from service.observability.logs import printable

sessions = typer.Typer(
    help="List, show, follow and delete sessions.",
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
    from service.cli.tail import follow
    from service.config.data_folder import find_redis
    from service.config.loader import load_config

    settings = load_config(config)
    url = find_redis(settings, redis, data)
    with options.connected(url, settings) as manager:
        if manager.store.index.get(session_id) is None:
            raise SessionNotFound(f"There is no session {printable(session_id)!r}.")
        follow(url, manager.store, session_id, as_json=json_output)


@sessions.command()
def delete(
    session_id: SessionId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Delete a session; its device, if connected, is notified and disconnected."""
    if not yes:
        typer.confirm(f"Delete {printable(session_id)!r} with all its data?", abort=True, err=True)
    with options.open_manager(redis, data, config) as manager:
        manager.delete_session(session_id)
    if json_output:
        options.show_json({"deleted": session_id})
    else:
        typer.echo(f"Deleted {printable(session_id)!r}.")


def _short(value: Any) -> str:
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:200]}…"
