"""`muster status`: nodes, workers and numbers."""

from __future__ import annotations

import time

import typer

from service.cli import reading


def status(
    redis: reading.RedisOption = None,
    data: reading.DataOption = None,
    config: reading.ConfigOption = None,
    json_output: reading.JsonOption = False,
) -> None:
    """Show which nodes are there and how many sessions there are."""
    with reading.open_manager(redis, data, config) as manager:
        counts = manager.store.counts()
        nodes: list[dict[str, str]] = [*manager.store.nodes()]
        now_ms = manager.store.now_ms()
    if json_output:
        reading.show_json({"counts": counts, "nodes": nodes, "server_time": now_ms / 1000})
        return
    typer.echo(" · ".join([f"nodes {len(nodes)}", *(f"{k} {v}" for k, v in counts.items())]))
    hidden = {"node_id", "seen_at"}
    columns = sorted({name for figures in nodes for name in figures} - hidden)
    rows = [
        [
            figures.get("node_id"),
            f"{max(0.0, now_ms - float(figures.get('seen_at') or 0)) / 1000:.1f} s ago",
            *(_shown(name, figures.get(name)) for name in columns),
        ]
        for figures in nodes
    ]
    reading.show_table(["node", "seen", *columns], rows, "No node is running.")


def _shown(name: str, text: str | None) -> str | None:
    if text and name in ("started_at", "start_time"):
        try:
            age_s = max(0, int(time.time() - float(text) / 1000))
        except ValueError:
            return text
        return f"{age_s} s ago"
    return text
