"""Results as tables: of a load and of its goals, for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.figures import Goal, Verdict, shown, spread
from benchmarks.loads.load import Load
from benchmarks.report.results import Found

COLUMNS = {
    "event_us": "CPU µs/event",
    "nodes_event_us": "of it nodes",
    "redis_event_us": "Redis",
    "sample_us": "CPU µs/sample",
    "nodes_sample_us": "of it nodes",
    "redis_sample_us": "Redis",
    "events_per_s": "events/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "delivered_us": "CPU µs/delivered sample",
    "nodes_delivered_us": "of it the dashboards' nodes",
    "devices_node_us": "devices' node, µs/event",
    "dashboards_node_us": "dashboard's node, µs/event",
    "unwatched_node_us": "unwatched node, µs/event",
    "connection_kb": "kB/connection",
    "connect_us": "CPU µs to connect and register",
    "nodes_connect_us": "of it nodes",
    "redis_connect_us": "Redis",
    "idle_us_per_s": "CPU µs/s per connection",
    "command_us": "CPU µs/command",
    "nodes_command_us": "of it both nodes",
    "redis_command_us": "Redis",
    "seconds": "seconds",
    "nodes_percent": "% of a core, nodes",
    "redis_percent": "% of a core, Redis",
    "nodes_mb": "MB, node",
    "redis_mb": "MB, Redis",
    "archived_per_s": "archived/s",
    "loop_per_s": "files/s of the loop",
    "loop_part": "part of the loop",
    "restore_p50_ms": "register to restored: p50 ms",
    "restore_p99_ms": "p99 ms",
    "page_p50_ms": "page of 100: p50 ms",
    "page_p99_ms": "p99 ms",
    "rest_page_p50_ms": "by REST: p50 ms",
    "rest_page_p99_ms": "p99 ms",
    "register_p50_ms": "register: p50 ms",
    "register_p99_ms": "p99 ms",
    "session_bytes": "bytes/session",
}


def cell(values: Sequence[float]) -> str:
    """Median, and the range where there is more than one value."""
    median, low, high = map(shown, spread(values))
    return median if low == high else f"{median} [{low}–{high}]"


def wanted(goal: Goal) -> str:
    """What a goal asks for, in words."""
    bound = f"{goal.bound:g}"
    return {
        "value": f"≤ {bound}",
        "least": f"≥ {bound}",
        "less": f"≥ {bound} times less",
        "more": f"≤ {bound} times",
        "beside": f"within {round((goal.bound - 1) * 100)} %",
    }[goal.kind]


def got(verdict: Verdict) -> str:
    """What was found for it: the figure, or the ratio of two."""
    found = verdict.found
    if found is None:
        return "–"
    return cell(found) if verdict.goal.kind in ("value", "least") else f"{cell(found)} times"


def rows_of(load: Load, found: Found) -> list[list[str]]:
    """A head, then a row per contestant that ran."""
    columns = [name for name in load.figures if any(name in r for r in found.rounds.values())]
    rows = [["", *(COLUMNS[name] for name in columns)]]
    for contestant in load.contestants:
        figures = found.rounds.get(contestant.name)
        if figures:
            cells = [cell(figures[name]) if name in figures else "–" for name in columns]
            rows.append([contestant.title, *cells])
    return rows


def remarks(load: Load, found: Found) -> list[str]:
    """Who did not run and why, and what was missing."""
    titles = {contestant.name: contestant.title for contestant in load.contestants}
    lines = [f"{titles[name]} is left out: {why}" for name, why in found.left_out.items()]
    for name, problems in found.problems.items():
        lines.append(f"{titles[name]}, not all arrived: {'; '.join(dict.fromkeys(problems))}")
    return lines


def text_of(load: Load, found: Found) -> str:
    """One load for the terminal."""
    rows = rows_of(load, found)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"{load.name}: {load.title}"]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        lines.append("  " + "   ".join(cells).rstrip())
    for goal in load.goals:
        verdict = found.verdict(goal)
        lines.append(f"  {goal.text}: {wanted(goal)}: {got(verdict)}, {verdict.word}")
    return "\n".join([*lines, *(f"  ! {line}" for line in remarks(load, found))])


def goal_rows(load: Load, found: Found) -> list[list[str]]:
    """A row for each goal of a load: load, goal, bound, what was found, word."""
    rows = []
    for place, goal in enumerate(load.goals):
        verdict = found.verdict(goal)
        head = f"[{load.name}](#{load.name})" if place == 0 else ""
        rows.append([head, goal.text, wanted(goal), got(verdict), f"**{verdict.word}**"])
    return rows


def markdown(rows: Sequence[Iterable[str]]) -> list[str]:
    """A table of Markdown; the first row is its head."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return [lines[0], "|" + "---|" * (lines[0].count(" | ") + 1), *lines[1:]]
