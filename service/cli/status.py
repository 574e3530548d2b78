"""`muster status`: nodes, workers and numbers."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from service.cli import options
from service.errors import ServiceError
from service.observability.alarms import Facts, decide_alarms
from service.sessions.model import to_seconds

if TYPE_CHECKING:
    from service.manager.manager import SessionManager

_FLAGS = ("ready", "draining")
_TEXTS = ("node_id", "worker", "host", "address", "version", "async_mode", "auth", "settings")


def status(
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
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
    for alarm in alarms:
        words = f"{alarm.severity}: {alarm.name} {alarm.subject}".rstrip()
        typer.echo(f"{words}: {alarm.message}")
    hidden = {"node_id", "seen_at", "settings", "auth", "max_files"}
    columns = sorted({name for figures in nodes for name in figures} - hidden)
    rows = [
        [
            figures.get("node_id"),
            f"{max(0.0, now_ms - float(figures.get('seen_at') or 0)) / 1000:.1f} s ago",
            *(_shown(name, figures.get(name)) for name in columns),
        ]
        for figures in nodes
    ]
    options.show_table(["node", "seen", *columns], rows, "No node is running.")


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


def _shown(name: str, text: str | None) -> str | None:
    if text and name in ("started_at", "start_time"):
        try:
            age_s = max(0, int(time.time() - float(text) / 1000))
        except ValueError:
            return text
        return f"{age_s} s ago"
    return text
