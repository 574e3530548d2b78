"""The figures of each version, as they are kept in history.json, and a picture of them."""

from __future__ import annotations

import json
import tomllib
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.building import HERE, ROOT
from benchmarks.figures import shown, spread
from benchmarks.picture import FAINT, FONT, INK, OURS, label
from benchmarks.results import Results

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
}
TITLE = "Figures of Muster, version by version"
DESCRIPTION = (
    "A row of bars for each figure, a bar for each version; the values are in history.json."
)
WIDTH, LEFT, TOP, STEP, HIGH = 960, 32, 62, 76, 30


def version() -> str:
    """The version of this tree, installed or not."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def load(path: Path = KEPT) -> list[dict[str, Any]]:
    """What is kept, oldest first."""
    kept: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return kept


def add(results: Results, version: str, path: Path = KEPT) -> list[dict[str, Any]]:
    """Keeps the medians of this version on this machine, instead of earlier ones of both."""
    figures = {}
    for name, figure in FIGURES:
        found = results.loads.get(name)
        values = found.rounds.get("muster", {}).get(figure) if found else None
        if values:
            figures[f"{name} {figure}"] = round(spread(values).median, 3)
    machine = results.machine[0]
    kept = [one for one in load(path) if (one["version"], one["machine"]) != (version, machine)]
    date = max((found.date for found in results.loads.values()), default="")
    kept.append({"version": version, "date": date, "machine": machine, "figures": figures})
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return kept


def draw(kept: list[dict[str, Any]]) -> str:
    """SVG: a row of bars for each figure, a bar for each version; machines differ, see history.json."""
    rows = [
        (title, [(one["version"], one["figures"].get(f"{load} {figure}")) for one in kept])
        for (load, figure), title in FIGURES.items()
    ]
    rows = [(title, values) for title, values in rows if any(v is not None for _, v in values)]
    height = TOP + len(rows) * STEP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-labelledby="title desc" font-family="{FONT}">'
    )
    card = (
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="14" '
        'fill="#fbfcfe" stroke="#d8e0ea"/>'
    )
    title = label(LEFT, 36, f"{TITLE}: lower is better", size=17, weight=600)
    names = f'<title id="title">{escape(TITLE)}</title>', f'<desc id="desc">{DESCRIPTION}</desc>'
    parts = [head, *names, card, title]
    for place, (title, values) in enumerate(rows):
        top = TOP + place * STEP
        parts.append(label(LEFT, top, title, fill=FAINT, weight=600))
        most = max(value for _, value in values if value is not None)
        step = min(110.0, (WIDTH - 2 * LEFT) / len(values))
        for number, (version, value) in enumerate(values):
            if value is None:
                continue
            x, tall = LEFT + number * step, max(1.0, HIGH * value / most)
            parts.append(
                f'<rect x="{x:.1f}" y="{top + 8 + HIGH - tall:.1f}" width="{step * 0.3:.1f}" '
                f'height="{tall:.1f}" rx="2" fill="{OURS}"/>'
            )
            parts.append(label(x + step * 0.34, top + 22, shown(value), size=12, fill=INK))
            parts.append(label(x + step * 0.34, top + 36, version, size=11, fill=FAINT))
    return "\n  ".join(parts) + "\n</svg>\n"
