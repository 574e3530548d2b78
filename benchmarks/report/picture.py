"""The picture of docs/benchmarks.md: CPU per event of each server, a panel a load."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from benchmarks.figures import shown, spread
from benchmarks.loads.all import LOADS
from benchmarks.loads.load import Load
from benchmarks.report.results import Found, Results

PANELS = {
    "saturated": "One sample per event, saturated",
    "acked": "Saturated, every event acked",
    "rate": "4,000 events/s from 200 devices",
    "batches": "50 samples per event, saturated",
}
WIDTH, LEFT, BAR, STEP, HEAD = 960, 330, 18, 27, 46
INK, FAINT, OURS, THEIRS = "#22303f", "#5b6d82", "#c2571a", "#8fb0d9"
TITLE = "CPU per event of Muster and its peers"
DESCRIPTION = (
    "Bars: user and system time of the server and of Redis per event, in microseconds, by load and server; "
    "shorter is better. The same figures stand in the tables of docs/benchmarks.md."
)
FONT = "ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def draw(results: Results) -> str:
    """A panel for each load, with a bar for each server."""
    parts: list[str] = []
    top = 62
    for load in LOADS:
        if load.name in PANELS and load.name in results.loads:
            bars = bars_of(load, results.loads[load.name])
            parts += panel(PANELS[load.name], bars, top)
            top += HEAD + len(bars) * STEP
    heading = "CPU of server and Redis per event, µs: shorter is better"
    return drawing(TITLE, DESCRIPTION, heading, parts, top + 12)


def drawing(title: str, description: str, heading: str, parts: Iterable[str], height: float) -> str:
    """SVG on a light card of its own, so that it can be read on light and dark pages alike."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-labelledby="title desc" font-family="{FONT}">'
    )
    card = (
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="14" '
        'fill="#fbfcfe" stroke="#d8e0ea"/>'
    )
    lines = [
        head,
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(description)}</desc>',
        card,
        label(32, 42, heading, size=17, weight=600),
        *parts,
    ]
    return "\n  ".join(lines) + "\n</svg>\n"


def bars_of(load: Load, found: Found) -> list[tuple[str, float, bool]]:
    """Title, median and whether it is ours, of each contestant that ran."""
    return [
        (c.title, spread(found.rounds[c.name]["event_us"]).median, c.server.is_ours)
        for c in load.contestants
        if found.rounds.get(c.name, {}).get("event_us")
    ]


def panel(title: str, bars: list[tuple[str, float, bool]], top: int) -> list[str]:
    """A heading and one bar each, all to the scale of the longest."""
    longest = max((value for _, value, _ in bars), default=1)
    lines = [label(32, top + 26, title, fill=FAINT, weight=600)]
    for place, (name, value, is_ours) in enumerate(bars):
        y = top + HEAD - 8 + place * STEP
        width = max(2.0, (WIDTH - LEFT - 110) * value / longest)
        fill, weight = (OURS, 600) if is_ours else (THEIRS, 400)
        lines += [
            label(LEFT - 12, y + 13.5, name, weight=weight, anchor="end"),
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3" fill="{fill}"/>',
            label(LEFT + width + 8, y + 13.5, shown(value), weight=weight),
        ]
    return lines


def label(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 13,
    weight: int = 400,
    fill: str = INK,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'
    )
