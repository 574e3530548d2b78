"""`muster simulate`: a fleet over real sockets, and the proof that nothing acked is missing."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from service.cli.simulation.fleet import Fleet
from service.cli.simulation.verification import Verdict, verify
from service.cli.token import TokenOption
from service.cli.urls import parse_urls
from service.endings import heard

#: How long acks may still come after the last update.
_SETTLE_S = 15.0
#: Between two lines of progress where there is no terminal.
_LINE_EVERY_S = 5.0
#: The reason given where a run was not to be verified.
NOT_ASKED_FOR = "not asked for"
_KINDS = ("mixed", "car", "kiosk", "robot")


def simulate(
    devices: Annotated[int, typer.Option("--devices", "-n", min=1, help="Number of devices.")] = 20,
    rate: Annotated[
        float, typer.Option(min=0.001, help="Updates per second of each device.")
    ] = 1.0,
    seconds: Annotated[
        float,
        typer.Option(min=0, help="Duration in seconds; 0: until a signal, without verification."),
    ] = 30.0,
    url: Annotated[
        list[str] | None, typer.Option("--url", help="Nodes, separated by commas or repeated.")
    ] = None,
    kind: Annotated[str, typer.Option(help="mixed, car, kiosk or robot.")] = "mixed",
    values: Annotated[
        int, typer.Option(min=0, help="Readings per update in addition to `tick`; 0: all.")
    ] = 0,
    wait: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait for all devices to connect before sending."),
    ] = 30.0,
    prefix: Annotated[str, typer.Option(help="Prefix of the device ids.")] = "",
    project: Annotated[str | None, typer.Option(help="project_id of the devices.")] = None,
    token: TokenOption = None,
    verified: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Check at the end that no acked update is missing."
        ),
    ] = True,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON on standard output.")
    ] = False,
) -> None:
    """Run a fleet of simulated devices; exit code 1 when anything is missing afterwards."""
    if kind not in _KINDS:
        raise typer.BadParameter(f"one of {', '.join(_KINDS)}", param_hint="--kind")
    fleet = Fleet(
        parse_urls(url),
        devices,
        rate=rate,
        kind=kind,
        prefix=prefix,
        project_id=project,
        values=values,
        token=token,
    )
    run = _Run(fleet, seconds, wait, verified=verified and seconds > 0)
    asyncio.run(run.go())
    summary = run.summary()
    if json_output:
        typer.echo(json.dumps(summary, indent=2))
    else:
        typer.echo(_text(summary))
    if has_failed(summary) or (seconds and not summary["acked"]):
        raise typer.Exit(1)


def has_failed(summary: Mapping[str, Any]) -> bool:
    """Return whether something that was sent or acked is missing, or no node could be asked."""
    unasked = summary["not_verified"] not in ("", NOT_ASKED_FOR)
    return bool(summary["lost"] or summary["given_up"] or unasked)


class _Run:
    """One run of a fleet, from the first connection to the verdict."""

    def __init__(self, fleet: Fleet, seconds: float, wait_s: float, *, verified: bool) -> None:
        self.fleet = fleet
        self.verdict: Verdict | None = None
        self._seconds, self._wait_s, self._verified = seconds, wait_s, verified
        self._elapsed_s = 0.0
        self._stop = asyncio.Event()

    async def go(self) -> None:
        loop = asyncio.get_running_loop()
        for number in heard((signal.SIGINT, signal.SIGTERM)):
            loop.add_signal_handler(number, self._signalled)
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
        )
        progress = Progress(
            *columns,
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        with progress:
            self._progress, self._plain = progress, not console.is_terminal
            await self._connect()
            await self._send()
            await self.fleet.settle(_SETTLE_S if self._verified else 2.0)
            if self._verified:
                await self._ask()
            await self.fleet.leave()

    def _signalled(self) -> None:
        self._stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):  # the second one ends it at once
            asyncio.get_running_loop().remove_signal_handler(number)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _connect(self) -> None:
        fleet, started_s = self.fleet, time.monotonic()
        task = self._progress.add_task("connecting", total=len(fleet.members), text="")
        connecting = asyncio.create_task(fleet.connect())
        while not self._stop.is_set() and time.monotonic() - started_s < self._wait_s:
            self._progress.update(task, completed=fleet.connected, text=f"{fleet.connected} there")
            if connecting.done() and fleet.connected + sum(fleet.ended.values()) >= len(
                fleet.members
            ):
                break
            await self._wait(0.05)
        await connecting
        self._progress.remove_task(task)
        self._line(
            f"{fleet.connected} of {len(fleet.members)} devices connected to {len(fleet.urls)} "
            f"node(s) in {time.monotonic() - started_s:.1f} s"
        )

    async def _send(self) -> None:
        started_s = line_s = time.monotonic()
        task = self._progress.add_task("sending", total=self._seconds or None, text="")
        self.fleet.begin()
        while not self._stop.is_set():
            self._elapsed_s = time.monotonic() - started_s
            if self._seconds and self._elapsed_s >= self._seconds:
                break
            self._progress.update(task, completed=self._elapsed_s, text=self._state())
            if self._plain and time.monotonic() - line_s >= _LINE_EVERY_S:
                line_s = time.monotonic()
                self._line(f"{self._elapsed_s:.0f} s: {self._state()}")
            left_s = self._seconds - self._elapsed_s if self._seconds else 1.0
            await self._wait(max(0.01, min(0.2, left_s)))
        self._progress.remove_task(task)

    async def _ask(self) -> None:
        task = self._progress.add_task(
            "reading from the service", total=len(self.fleet.members), text=""
        )
        self.verdict = await verify(
            self.fleet,
            lambda asked: self._progress.update(task, completed=asked, text=f"{asked} sessions"),
        )
        self._progress.remove_task(task)

    def _state(self) -> str:
        fleet = self.fleet
        return (
            f"{fleet.connected} connected · {fleet.total('sent')} sent · "
            f"{fleet.total('acked')} acked · "
            f"p50 {fleet.latencies.percentile_s(50) * 1000:.0f} ms · "
            f"{fleet.total('reconnects')} reconnects"
        )

    def _line(self, text: str) -> None:
        if self._plain:
            print(text, file=sys.stderr, flush=True)
        else:
            self._progress.console.print(text)

    def summary(self) -> dict[str, Any]:
        fleet, verdict = self.fleet, self.verdict
        latencies = {
            name: round(fleet.latencies.percentile_s(percent) * 1000, 1)
            for name, percent in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100))
        }
        return {
            "devices": len(fleet.members),
            "urls": fleet.urls,
            "seconds": round(self._elapsed_s, 1),
            "sent": fleet.total("sent"),
            "acked": fleet.total("acked"),
            "acked_samples": fleet.total("acked_samples"),
            "unacked": fleet.unacked,
            "refused": fleet.total("refused"),
            "deferred": fleet.total("deferred"),
            "dropped": fleet.total("dropped"),
            "given_up": fleet.total("refused") + fleet.total("dropped"),
            "lost": verdict.lost if verdict else 0,
            "repeated": verdict.repeated if verdict else 0,
            "verified_sessions": verdict.asked if verdict else 0,
            "not_verified": verdict.unasked if verdict else NOT_ASKED_FOR,
            "missing": [asdict(one) for one in verdict.missing[:20]] if verdict else [],
            "reconnects": fleet.total("reconnects"),
            "commands": fleet.total("commands"),
            "ended": fleet.ended,
            "updates_per_s": round(fleet.total("acked") / self._elapsed_s, 1)
            if self._elapsed_s
            else 0,
            "latency_ms": latencies,
        }


def _text(summary: dict[str, Any]) -> str:
    latency = summary["latency_ms"]
    lines = [
        (
            "devices",
            f"{summary['devices']} over {len(summary['urls'])} node(s), {summary['seconds']} s",
        ),
        ("sent", f"{summary['sent']} updates"),
        ("acked", f"{summary['acked']} ({summary['updates_per_s']} per second)"),
        ("unacked", f"{summary['unacked']} without an answer at the end"),
        ("lost", f"{summary['lost']} acked, but missing at the end"),
        ("reconnects", str(summary["reconnects"])),
        ("latency", " · ".join(f"{name} {value} ms" for name, value in latency.items())),
    ]
    seldom = ("given_up", "refused", "deferred", "dropped", "repeated", "commands", "ended")
    lines += [(name, str(summary[name])) for name in seldom if summary[name]]
    if summary["not_verified"]:
        lines.append(("verified", f"no: {summary['not_verified']}"))
    else:
        lines.append(("verified", f"{summary['verified_sessions']} sessions"))
    lines += [
        ("missing", f"{one['session_id']!r}: {one['updates']} updates, {one['why']}")
        for one in summary["missing"]
    ]
    return "\n".join(f"{name:<11} {value}" for name, value in lines)
