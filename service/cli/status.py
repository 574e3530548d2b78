"""`muster status`: nodes, workers and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from service.cli import options
from service.cli.tables import Column, by_state, show_table, stdout_console
from service.errors import ServiceError
from service.observability.alarms import Alarm, Facts, decide_alarms
from service.sessions.model import to_seconds

if TYPE_CHECKING:
    from service.manager.manager import SessionManager

_FLAGS = ("ready", "draining")
_TEXTS = ("node_id", "worker", "host", "address", "version", "async_mode", "auth", "settings")


def status(
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    wide: options.WideOption = False,
    json_output: options.JsonOption = False,
) -> None:
    """Show alarms, nodes, the number of sessions and the state of the workers."""
    with options.open_manager(redis, data, config) as manager:
        counts = manager.store.index.counts()
        nodes: list[dict[str, str]] = [*manager.store.fleet.nodes()]
        now_ms = manager.store.now_ms()
        upkeep = manager.store.upkeep.read()
        workers = manager.store.fleet.workers()
        server = manager.store.fleet.server()
        archive = _archive(manager, upkeep)
    jobs = {name: int(upkeep.get(f"jobs_{name}", 0)) for name in ("queued", "failed")}
    alarms = list(decide_alarms(Facts(nodes, server, jobs, workers, upkeep, now_ms)))
    if json_output:
        options.show_json(
            {
                "counts": counts,
                "archive": archive,
                "jobs": jobs,
                "alarms": [asdict(alarm) for alarm in alarms],
                "nodes": [_typed(figures) for figures in nodes],
                "workers": [_typed(figures) for figures in workers],
                "server_time": now_ms / 1000,
            }
        )
        return
    numbers = {"nodes": len(nodes), "workers": len(workers), **counts}
    typer.echo(" · ".join(f"{name} {count}" for name, count in numbers.items()))
    typer.echo(" · ".join(f"jobs {name} {count}" for name, count in jobs.items()))
    typer.echo(" · ".join(_words(archive)))
    show_alarms(alarms)
    typer.echo("")
    rows = [_node_row(figures, now_ms) for figures in nodes]
    show_table(NODE_COLUMNS, rows, "No node is running.", wide=wide)
    if workers:
        typer.echo("")
        rows = [_worker_row(figures, now_ms) for figures in workers]
        show_table(WORKER_COLUMNS, rows, "", wide=wide)


def show_alarms(alarms: Iterable[Alarm]) -> None:
    """Print alarms, one a line, which continues in the next one only on a terminal."""
    console = stdout_console()
    for alarm in alarms:
        words = f"{alarm.severity}: {alarm.name} {alarm.subject}".rstrip()
        line = Text(words, style=by_state(alarm.severity)).append(f": {alarm.message}", "default")
        console.print(line, soft_wrap=not console.is_terminal)


def state_of(figures: Mapping[str, str]) -> str:
    """Return the state of a node in a word or two."""
    if figures.get("draining") == "1":
        return "draining"
    return "ready" if figures.get("ready") == "1" else "not ready"


NODE_COLUMNS = (
    *(Column("node"), Column("state", style=by_state), Column("seen")),
    *(Column("devices", 1, right=True), Column("boards", 2, right=True)),
    *(Column("sockets", 3, right=True), Column("up", 4, right=True), Column("version", 5)),
    *(Column("address", 6), Column("pid", 7, right=True), Column("stored", 8, right=True)),
    *(Column("backlog", 9, right=True), Column("mode", 10), Column("host", 11)),
)
WORKER_COLUMNS = (
    *(Column("worker"), Column("seen"), Column("failures", 1, right=True), Column("version", 2)),
    *(Column("pid", 3, right=True), Column("host", 4)),
)


def _node_row(figures: Mapping[str, str], now_ms: int) -> list[str]:
    first = [figures.get(name, "") for name in ("devices", "dashboards", "connections")]
    up = options.duration(float(figures["uptime_s"])) if "uptime_s" in figures else ""
    rest = ("version", "address", "pid", "stored", "backlog_bytes", "async_mode", "host")
    return [
        *(figures.get("node_id", ""), state_of(figures), _seen(figures, now_ms)),
        *(*first, up, *(figures.get(name, "") for name in rest)),
    ]


def _worker_row(figures: Mapping[str, str], now_ms: int) -> list[str]:
    rest = [figures.get(name, "") for name in ("failures", "version", "pid", "host")]
    return [figures.get("worker", ""), _seen(figures, now_ms), *rest]


def _seen(figures: Mapping[str, str], now_ms: int) -> str:
    return f"{options.duration((now_ms - float(figures.get('seen_at') or 0)) / 1000)} ago"


def _archive(manager: SessionManager, upkeep: dict[str, str]) -> dict[str, Any]:
    """Return the state of the archive: what workers did with it, and what is in quarantine."""
    found: dict[str, Any] = {
        **{
            name: int(upkeep.get(name, 0))
            for name in ("archived", "relieved", "purged", "archive_failures")
        },
        "last_error": upkeep.get("archive_error"),
        "last_error_at": to_seconds(upkeep.get("archive_failed_at")),
        "quarantined": None,
        "wrong": "",
    }
    if not manager.archiver.exists:
        return {**found, "wrong": "there is none"}
    try:
        found["quarantined"] = len(manager.archiver.archive.store.quarantined())
    except ServiceError as exc:
        found["wrong"] = exc.message
    return found


def _words(archive: dict[str, Any]) -> list[str]:
    if archive["wrong"]:
        return [f"archive: {archive['wrong']}"]
    words = [f"archive: {archive['archived']} archived", f"{archive['quarantined']} in quarantine"]
    words += [f"{archive[name]} {name}" for name in ("relieved", "purged") if archive[name]]
    if archive["archive_failures"]:
        at = options.when(archive["last_error_at"])
        words.append(f"{archive['archive_failures']} failures, the last at {at}")
    return words


def _typed(figures: dict[str, str]) -> dict[str, str | float | bool]:
    """Return a node's figures as programs want them: numbers, truth values, times in seconds."""
    typed: dict[str, str | float | bool] = {}
    for name, text in figures.items():
        if name in _FLAGS:
            typed[name] = text == "1"
        elif name == "seen_at":
            typed[name] = int(text) / 1000
        else:
            typed[name] = int(text) if name not in _TEXTS and text.isdecimal() else text
    return typed
