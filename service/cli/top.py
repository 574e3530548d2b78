"""`muster top`: the fleet live on a terminal: nodes, rates, the busiest and the newest sessions, alarms."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from service.cli import options
from service.cli.status import state_of
from service.cli.tables import Column, by_state, layout, stdout_console
from service.config.data_folder import find_redis
from service.config.loader import load_config, redact_url
from service.errors import StoreUnavailable
from service.manager.manager import SessionManager
from service.observability.alarms import Alarm, Facts, decide_alarms
from service.observability.logs import printable
from service.redis_access.trouble import trouble_of
from service.sessions.model import summary

#: Active sessions that are compared at each look.
COMPARED = 500
_NEWEST = 5


@dataclass(frozen=True)
class Look:
    """What a look at Redis finds."""

    at_s: float
    counts: Mapping[str, int]
    nodes: Sequence[Mapping[str, str]]
    workers: int
    alarms: Sequence[Alarm]
    #: Summaries of at most `COMPARED` active sessions, and of the newest ones.
    compared: Sequence[Mapping[str, Any]]
    newest: Sequence[Mapping[str, Any]]


class Rates:
    """How fast counters move from look to look; one that went back began again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float, float | None]] = {}

    def move(self, counters: Mapping[str, tuple[float, float]]) -> dict[str, float]:
        """Return the rate per second of each counter (its time in s, its value) that was known before.

        One whose time is the same as before has the same rate: it was not written again.
        """
        known: dict[str, tuple[float, float, float | None]] = {}
        for name, (at_s, value) in counters.items():
            before = self._known.get(name)
            if before is None:
                known[name] = (at_s, value, None)
            elif at_s <= before[0]:
                known[name] = before
            else:
                known[name] = (at_s, value, max(0.0, value - before[1]) / (at_s - before[0]))
        self._known = known
        return {name: rate for name, (_, _, rate) in known.items() if rate is not None}


def look(manager: SessionManager) -> Look:
    """Ask Redis once.

    Raises:
        StoreUnavailable
    """
    store = manager.store
    nodes, workers = store.fleet.nodes(), store.fleet.workers()
    upkeep, now_ms = store.upkeep.read(), store.now_ms()
    jobs = {name: int(upkeep.get(f"jobs_{name}", 0)) for name in ("queued", "failed")}
    facts = Facts(nodes, store.fleet.server(), jobs, workers, upkeep, now_ms)
    ids = [
        (since, session_id)
        for partition in range(store.keys.partitions)
        for session_id, since in _newest(manager, store.keys.active(partition))
    ]
    newest = store.index.summaries([one for _, one in sorted(ids, reverse=True)[:_NEWEST]])
    return Look(
        at_s=now_ms / 1000,
        counts=store.index.counts(),
        nodes=nodes,
        workers=len(workers),
        alarms=list(decide_alarms(facts)),
        compared=manager.get_sessions(limit=COMPARED, iso=False)["sessions"],
        newest=[summary(one) for one in newest if one is not None],
    )


def _newest(manager: SessionManager, key: str) -> list[tuple[str, float]]:
    runner = manager.store.runner
    found: Any = runner.repeat(
        lambda: runner.client.zrevrange(key, 0, _NEWEST - 1, withscores=True)
    )
    return list(found)


class Screen:
    """Makes lines of looks."""

    def __init__(self) -> None:
        self._nodes, self._sessions = Rates(), Rates()

    def lines(self, seen: Look, width: int, height: int) -> list[Text]:
        """Return what is shown, at most `height` lines."""
        nodes = self._nodes.move(
            {
                one["node_id"]: (float(one["seen_at"]) / 1000, float(one.get("stored") or 0))
                for one in seen.nodes
            }
        )
        rates = self._sessions.move(
            {one["session_id"]: (seen.at_s, float(one["rev"])) for one in seen.compared}
        )
        total = f"{sum(nodes.values()):.0f}" if nodes else "…"
        words = {"nodes": len(seen.nodes), "workers": seen.workers, **seen.counts}
        head = " · ".join(
            [*(f"{name} {count}" for name, count in words.items()), f"samples/s {total}"]
        )
        lines = [Text(head, "bold")]
        for alarm in seen.alarms:
            text = f"{alarm.severity}: {alarm.name} {alarm.subject}: {alarm.message}"
            lines.append(Text(printable(text), by_state(alarm.severity)))
        rest = max(0, height - len(lines))
        tables = [
            (_NODES, [_node(one, nodes, seen.at_s) for one in seen.nodes]),
            (_BUSIEST, _busiest(seen, rates)),
            (_NEW, [_new(one, seen.at_s) for one in seen.newest]),
        ]
        for left, (columns, rows) in zip((3, 2, 1), tables, strict=True):
            if rows:
                room = max(1, rest // left - 2)  # a blank line and the head
                table, _ = layout(columns, rows[:room], width, wide=False)
                lines += [Text(), *table]
                rest = max(0, height - len(lines))
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines[:height]


_NODES = (
    *(Column("node"), Column("state", style=by_state), Column("samples/s", right=True)),
    *(Column("devices", 1, right=True), Column("boards", 2, right=True), Column("seen", 3)),
    *(Column("backlog", 4, right=True), Column("address", 5)),
)
_BUSIEST = (
    *(Column("busiest sessions"), Column("samples/s", right=True), Column("rev", 1, right=True)),
    *(Column("name", 2), Column("node", 3)),
)
_NEW = (Column("newest sessions"), Column("since"), Column("name", 1), Column("node", 2))


def _node(one: Mapping[str, str], rates: Mapping[str, float], now_s: float) -> list[str]:
    rate = rates.get(one["node_id"])
    seen_s = now_s - float(one["seen_at"]) / 1000
    figures = [one.get(name, "") for name in ("devices", "dashboards")]
    return [
        *(one["node_id"], state_of(one), "…" if rate is None else f"{rate:.0f}", *figures),
        *(f"{options.duration(seen_s)} ago", one.get("backlog_bytes", ""), one.get("address", "")),
    ]


def _busiest(seen: Look, rates: Mapping[str, float]) -> list[list[Any]]:
    ordered = sorted(seen.compared, key=lambda one: -rates.get(one["session_id"], 0.0))
    return [
        [
            *(one["session_id"], f"{rates[one['session_id']]:.1f}", one["rev"]),
            *(one["session_name"], one["node_id"] if one["is_connected"] else ""),
        ]
        for one in ordered
        if rates.get(one["session_id"])
    ]


def _new(one: Mapping[str, Any], now_s: float) -> list[Any]:
    since = "" if one["start_time"] is None else options.duration(now_s - one["start_time"])
    return [one["session_id"], since, one["session_name"], one["node_id"]]


def top(
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print it once, and end.")] = False,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Watch nodes, rates, the busiest and the newest sessions, and alarms; `q` or Ctrl-C ends.

    The busiest are those of the 500 that have been active longest. Without a terminal it prints once.
    """
    settings = load_config(config)
    url = find_redis(settings, redis, data)
    console, screen = stdout_console(), Screen()
    with options.connected(url, settings) as manager:
        if once or not console.is_terminal:
            screen.lines(look(manager), console.width, 10_000)
            time.sleep(every)
            for line in screen.lines(look(manager), console.width, 10_000):
                console.print(line, soft_wrap=True)
            return
        with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
            try:
                while True:
                    live.update(Group(*_lines(manager, url, screen, console.size)), refresh=True)
                    if pressed(every):
                        return
            except KeyboardInterrupt:
                return


def _lines(manager: SessionManager, url: str, screen: Screen, size: tuple[int, int]) -> list[Text]:
    width, height = size
    try:
        lines = screen.lines(look(manager), width, height - 1)
    except StoreUnavailable as exc:
        words = f"Redis at {redact_url(url)} cannot be reached: {trouble_of(exc)}"
        lines = [Text(printable(words), "bold red")]
    return [*lines, *[Text()] * (height - 1 - len(lines)), Text("q ends", "dim")]


@contextmanager
def _keys() -> Iterator[Any]:
    """Yield a function that waits, and returns whether `q` was pressed."""
    if not sys.stdin.isatty():
        yield lambda wait_s: time.sleep(wait_s)
        return
    before = termios.tcgetattr(sys.stdin)

    def pressed(wait_s: float) -> bool:
        until = time.monotonic() + wait_s
        while (left_s := until - time.monotonic()) > 0:
            is_ready = select.select([sys.stdin], [], [], left_s)[0]
            if is_ready and os.read(sys.stdin.fileno(), 1) in (b"q", b"Q", b""):
                return True
        return False

    try:
        tty.setcbreak(sys.stdin)
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
