"""Results as text for the terminal and as the tables of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.figures import Goal, Verdict, shown, spread
from benchmarks.loads import LOADS, Load
from benchmarks.results import Found, Results

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

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
    if goal.bound == float("inf"):
        return "without an error"
    return {
        "value": f"≤ {bound}",
        "less": f"≥ {bound} times less",
        "more": f"≤ {bound} times",
        "beside": f"within {round((goal.bound - 1) * 100)} %",
    }[goal.kind]


def got(verdict: Verdict) -> str:
    """What was found for it: the figure, or the ratio of two."""
    found = verdict.found
    if found is None:
        return "–"
    return cell(found) if verdict.goal.kind == "value" else f"{cell(found)} times"


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


def markdown(results: Results) -> str:
    """All that is known, for the docs."""
    done = [(load, results.loads[load.name]) for load in LOADS if load.name in results.loads]
    lines = [f"* {line}" for line in results.machine]
    dates = sorted({found.date for _, found in done})
    loads = sorted(found.load_average for _, found in done)
    measured = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    lines.append(f"* {measured}, load average before the loads {loads[0]:.1f} to {loads[-1]:.1f}")
    lines += felt(results) + fleets(results)
    lines.append("")
    lines += ["| load | | goal | found | |", "|---|---|---|---|---|"]
    for load, found in done:
        for place, goal in enumerate(load.goals):
            verdict = found.verdict(goal)
            head = f"[{load.name}](#{load.name})" if place == 0 else ""
            cells = [head, goal.text, wanted(goal), got(verdict), f"**{verdict.word}**"]
            lines.append(_row(cells))
    for load, found in done:
        rows = rows_of(load, found)
        lines += ["", f"### {load.name}", "", f"{load.title}.", "", _row(rows[0])]
        lines += ["|" + "---|" * len(rows[0]), *map(_row, rows[1:])]
        lines += [line for remark in remarks(load, found) for line in ("", remark)]
    return "\n".join(lines)


#: What a user waits for → the load that shows it.
FELT = (
    ("a change, 40 events/s", "calm"),
    ("a change, 4,000 events/s", "rate"),
    ("a command to a device of another node, and its answer", "commands"),
    ("5,000 devices are back after they all lost their connections", "storm"),
)


def felt(results: Results) -> list[str]:
    """What a user waits for, with Muster and with the nearest peer."""
    rows = []
    for title, load in FELT:
        found = results.loads.get(load)
        if found is None:
            continue
        cells = [
            shown(spread(values).median) if values else "–"
            for name in ("muster", "node-redis")
            for values in map(found.rounds.get(name, {}).get, ("p50_ms", "p99_ms"))
        ]
        rows.append(_row([title, *cells]))
    head = [
        "| ms | Muster, p50 | p99 | Node socket.io, redis-adapter, p50 | p99 |",
        "|---|---|---|---|---|",
    ]
    return ["", *head, *rows] if rows else []


#: A fleet's devices → load and figure of what one of their samples costs, samples a second, and whether they rest
#: between them.
FLEETS = (
    ("one sample a second", "rate", "event", 1.0, False),
    ("ten samples a second, in events of 50", "batches", "sample", 10.0, False),
    ("one sample a minute", "rate", "event", 1 / 60, True),
)


def fleets(results: Results) -> list[str]:
    """How many devices a core for nodes, and one Redis, carry when fully used; from the medians."""

    def ours(load: str, figure: str) -> float | None:
        found = results.loads.get(load)
        values = found.rounds.get("muster", {}).get(figure) if found else None
        return spread(values).median if values else None

    rows = []
    for title, load, what, per_s, rests in FLEETS:
        node, store = ours(load, f"nodes_{what}_us"), ours(load, f"redis_{what}_us")
        rest = ours("idle", "idle_us_per_s") if rests else 0.0
        if node is not None and store is not None and rest is not None:
            counts = [f"{1e6 / (node * per_s + rest):,.0f}", f"{1e6 / (store * per_s):,.0f}"]
            rows.append(_row([title, *counts]))
    head = ["| devices that send | on a core for nodes | on one Redis |", "|---|---|---|"]
    return ["", *head, *rows] if rows else []


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_page(page: Path, results: Results) -> None:
    """Puts the tables between the markers of a page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{markdown(results)}\n{END}{after}")
