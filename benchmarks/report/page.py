"""The measured parts of docs/benchmarks.md: what users wait for and what fleets cost, then everything."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import shown, spread
from benchmarks.loads.all import LOADS
from benchmarks.report.results import Results
from benchmarks.report.tables import goal_rows, markdown, remarks, rows_of

#: What a user waits for → the load that shows it.
FELT = (
    ("a change, 40 events/s", "calm"),
    ("a change, 4,000 events/s", "rate"),
    ("a command to a device of another node, and its answer", "commands"),
    ("5,000 devices are back after they all lost their connections", "storm"),
)
#: Who is compared.
COMPARED = {
    "muster": "Muster",
    "node-redis": "Node socket.io, redis-adapter",
    "centrifugo": "Centrifugo",
}


def write_page(page: Path, results: Results) -> None:
    """Puts each part between its markers."""
    text = page.read_text()
    for name, lines in parts(results).items():
        begin, end = markers(name)
        before, found_begin, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found_begin or not found_end:
            raise ValueError(f"{page} has no place for its part `{name}`")
        text = "\n".join([f"{before}{begin}", *lines, f"{end}{after}"])
    page.write_text(text)


def markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def parts(results: Results) -> dict[str, list[str]]:
    """The lines of each part, by the name of its markers."""
    return {"felt": felt(results), "fleets": fleets(results), "measured": measured(results)}


def felt(results: Results) -> list[str]:
    """What a user waits for, with Muster and with peers."""
    rows = [["ms, p50 and p99", *COMPARED.values()]]
    for title, load in FELT:
        rows.append([title])
        for name in COMPARED:
            p50, p99 = (_median(results, load, name, figure) for figure in ("p50_ms", "p99_ms"))
            known = p50 is not None and p99 is not None
            rows[-1].append(f"{shown(p50)} and {shown(p99)}" if known else "–")
    return markdown(rows)


def fleets(results: Results) -> list[str]:
    """What each fleet takes, and how many of its devices would use up a core of nodes, or a Redis."""
    head = ["a fleet of", "of a core for nodes", "of a Redis", "memory of the node and of Redis"]
    rows = [[*head, "a change, p50 and p99", "devices a core", "devices a Redis"]]
    (load,) = (load for load in LOADS if load.name == "fleets")
    for fleet in load.contestants:
        percent, redis_percent, node_mb, redis_mb, p50, p99 = (
            _median(results, "fleets", fleet.name, figure) for figure in load.figures
        )
        if percent is None or redis_percent is None:
            rows.append([fleet.title, *["not measured yet"] * (len(rows[0]) - 1)])
            continue
        devices = fleet.options["devices"]
        rows.append(
            [
                fleet.title,
                *(f"{percent:.1f} %", f"{redis_percent:.1f} %"),
                f"{node_mb:.0f} and {redis_mb:.0f} MB",
                f"{shown(p50 or 0)} and {shown(p99 or 0)} ms",
                *(f"{devices / percent * 100:,.0f}", f"{devices / redis_percent * 100:,.0f}"),
            ]
        )
    return markdown(rows)


def measured(results: Results) -> list[str]:
    """Where and when, goals, and each load."""
    done = [(load, results.loads[load.name]) for load in LOADS if load.name in results.loads]
    lines = [f"* {line}" for line in results.machine]
    if not done:
        return lines
    dates = sorted({found.date for _, found in done})
    busy = sorted(found.load_average for _, found in done)
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    lines.append(f"* {when}, load average before the loads {busy[0]:.1f} to {busy[-1]:.1f}")
    goals = [row for load, found in done for row in goal_rows(load, found)]
    lines += ["", *markdown([["load", "", "goal", "found", ""], *goals])]
    for load, found in done:
        lines += ["", f"### {load.name}", "", f"{load.title}.", "", *markdown(rows_of(load, found))]
        lines += [line for remark in remarks(load, found) for line in ("", remark)]
    return lines


def _median(results: Results, load: str, contestant: str, figure: str) -> float | None:
    found = results.loads.get(load)
    values = found.rounds.get(contestant, {}).get(figure) if found else None
    return spread(values).median if values else None
