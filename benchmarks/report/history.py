"""The figures of each version, as they are kept in history.json, and a picture of them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.building import HERE, ROOT
from benchmarks.figures import shown, spread
from benchmarks.report.picture import FAINT, INK, OURS, THEIRS, WIDTH, drawing, label
from benchmarks.report.results import Results

KEPT = HERE / "history.json"
#: What is followed: (load, figure) → title.
FIGURES = {
    ("calm", "p50_ms"): "Device to dashboard at 40 events/s, p50 ms",
    ("rate", "p50_ms"): "Device to dashboard at 4,000 events/s, p50 ms",
    ("rate", "event_us"): "CPU of node and Redis at 4,000 events/s, µs per event",
    ("saturated", "event_us"): "The same saturated",
    ("batches", "sample_us"): "The same with 50 samples per event, µs per sample",
    ("commands", "p50_ms"): "Command to a device of another node and back, p50 ms",
    ("storm", "seconds"): "5,000 devices reconnect, s",
    ("idle", "connection_kb"): "Idle connection, kB",
    ("idle", "idle_us_per_s"): "CPU of node and Redis for an idle connection, µs per second",
}
TITLE = "Figures of Muster, version by version"
DESCRIPTION = (
    "A row of bars for each figure, a bar for each version; the values are in history.json."
)
NOTE = "pale: on other machines than the last"
LEFT, TOP, STEP, HIGH = 32, 68, 76, 30


def version() -> str:
    """The version of this tree, installed or not."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def load(path: Path = KEPT) -> list[dict[str, Any]]:
    """What is kept, oldest first."""
    kept: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return kept


def add(results: Results, version: str, path: Path = KEPT) -> list[dict[str, Any]]:
    """Keeps the medians of this version on this machine, instead of earlier ones of both.

    What was not measured this time stays: a run of one load takes nothing away.
    """
    machine, kept = results.machine[0], load(path)
    same = [one for one in kept if (one["version"], one["machine"]) == (version, machine)]
    figures = {name: value for one in same for name, value in one["figures"].items()}
    for name, figure in FIGURES:
        found = results.loads.get(name)
        values = found.rounds.get("muster", {}).get(figure) if found else None
        if values:
            figures[f"{name} {figure}"] = round(spread(values).median, 3)
    kept = [one for one in kept if one not in same]
    date = max((found.date for found in results.loads.values()), default="")
    kept.append({"version": version, "date": date, "machine": machine, "figures": figures})
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return kept


def draw(kept: list[dict[str, Any]]) -> str:
    """SVG: a row of bars for each figure, a bar for each version."""
    names = {f"{load} {figure}": title for (load, figure), title in FIGURES.items()}
    names = {n: title for n, title in names.items() if any(n in one["figures"] for one in kept)}
    parts = []
    if len({one["machine"] for one in kept}) > 1:
        parts.append(label(WIDTH - LEFT, 42, NOTE, size=12, fill=FAINT, anchor="end"))
    for place, (name, title) in enumerate(names.items()):
        parts.append(label(LEFT, TOP + place * STEP, title, fill=FAINT, weight=600))
        parts += bars(name, kept, TOP + place * STEP + 8)
    heading = f"{TITLE}: lower is better"
    return drawing(TITLE, DESCRIPTION, heading, parts, TOP + len(names) * STEP)


def bars(name: str, kept: list[dict[str, Any]], top: int) -> Iterator[str]:
    """One figure of each version that has it; a version has the same place in every row."""
    most = max(one["figures"].get(name, 0.0) for one in kept)
    step = min(110.0, (WIDTH - 2 * LEFT) / len(kept))
    for place, one in enumerate(kept):
        value = one["figures"].get(name)
        if value is None:
            continue
        x, tall = LEFT + place * step, max(1.0, HIGH * value / most)
        fill = OURS if one["machine"] == kept[-1]["machine"] else THEIRS
        yield (
            f'<rect x="{x:.1f}" y="{top + HIGH - tall:.1f}" width="{step * 0.3:.1f}" '
            f'height="{tall:.1f}" rx="2" fill="{fill}"/>'
        )
        yield label(x + step * 0.34, top + 14, shown(value), size=12, fill=INK)
        yield label(x + step * 0.34, top + 28, one["version"], size=11, fill=FAINT)
