"""What `muster up` shows while it runs: a table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from service.cli.local.supervisor import Child
from service.config.loader import Config
from service.errors import ConfigError, ServiceError

_EVERY_S = 1.0
#: Between two lines where there is no terminal.
_LINE_EVERY_S = 10.0


@dataclass(frozen=True)
class Fleet:
    """What Redis says of the fleet."""

    nodes: int
    active: int
    inactive: int
    #: Samples per second over all nodes; None: not known yet.
    events_per_s: float | None


class Figures:
    """Asks Redis each second, in a thread of its own, so that an outage holds nothing up."""

    def __init__(self, url: str, config: Config) -> None:
        self._url = url
        self._config = config
        self._fleet: Fleet | None = None
        self._before: dict[str, tuple[float, float]] = {}
        self._end = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def now(self) -> Fleet | None:
        """Return the latest answer; None while there is none."""
        return self._fleet

    def close(self) -> None:
        """Stop asking."""
        self._end.set()

    def _follow(self) -> None:
        from service.manager.manager import SessionManager

        manager: Any = None
        while not self._end.wait(_EVERY_S if self._before or manager is None else 0.3):
            try:
                manager = manager or SessionManager.connect(self._url, self._config)
                counts, nodes = manager.store.index.counts(), manager.store.fleet.nodes()
                rate = self._rate(nodes)
                self._fleet = Fleet(len(nodes), counts["active"], counts["inactive"], rate)
            except (ServiceError, ConfigError):
                self._fleet = None
        if manager is not None:
            manager.close()

    def _rate(self, nodes: Sequence[dict[str, str]]) -> float | None:
        """Return samples per second: how far the nodes' counters moved between their beats."""
        rate, known = 0.0, False
        for figures in nodes:
            node_id = figures["node_id"]
            at_s, total = float(figures["seen_at"]) / 1000, float(figures.get("stored") or 0)
            before = self._before.get(node_id)
            if before is None:
                self._before[node_id] = (at_s, total)
                continue
            if at_s > before[0]:
                rate += max(0.0, total - before[1]) / (at_s - before[0])
                known = True
                if at_s - before[0] > 5:
                    self._before[node_id] = (at_s, total)
        return rate if known else None


class Display:
    """Where `up` talks to people. Writing never fails: the terminal may be gone."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._line_s = time.monotonic() - 0.7 * _LINE_EVERY_S  # the first line after a moment
        self._last = ""

    def say(self, text: str) -> None:
        """Print a line (or several) that stays."""
        try:
            self._console.print(text, markup=False)
            sys.stdout.flush()
        except (OSError, ValueError):
            pass

    def show(self, fleet: Fleet | None, children: Sequence[Child]) -> None:
        """Show the state of things, over the one before where that is possible."""
        text, now_s = _line(fleet, children), time.monotonic()
        try:
            if self._console.is_terminal:
                if text == self._last and now_s - self._line_s < _EVERY_S:
                    return
                self._line_s, self._last = now_s, text
                if self._live is None:
                    self._live = Live(console=self._console, auto_refresh=False, transient=True)
                    self._live.start()
                self._live.update(_table(text, children), refresh=True)
            elif text != self._last and now_s - self._line_s >= _LINE_EVERY_S:
                self._line_s, self._last = now_s, text
                self.say(text)
        except (OSError, ValueError):
            pass

    def close(self) -> None:
        """Take the table away."""
        try:
            if self._live is not None:
                self._live.stop()
        except (OSError, ValueError):
            pass
        self._live = None


def _line(fleet: Fleet | None, children: Sequence[Child]) -> str:
    down = [child.name for child in children if not child.is_running]
    words = ["no numbers from Redis yet"]
    if fleet is not None:
        rate = "…" if fleet.events_per_s is None else f"{fleet.events_per_s:.0f}"
        words = [
            f"nodes {fleet.nodes}",
            f"active {fleet.active}",
            f"inactive {fleet.inactive}",
            f"events/s {rate}",
        ]
    if down:
        words.append(f"down: {', '.join(down)}")
    return " · ".join(words)


def _table(text: str, children: Sequence[Child]) -> Table:
    table = Table(title=text, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name, justify in (
        ("process", "left"),
        ("pid", "right"),
        ("up", "right"),
        ("restarts", "right"),
    ):
        table.add_column(name, justify=justify, style="dim")  # type: ignore[arg-type]
    now_s = time.monotonic()
    for child in children:
        if child.process is not None and child.is_running:
            age = f"{int(now_s - child.started_s)} s"
            table.add_row(child.name, str(child.process.pid), age, str(child.starts - 1))
        else:
            table.add_row(child.name, "-", "down", str(child.starts - 1), style="red")
    return table
