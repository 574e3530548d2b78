"""`muster agent`: this machine as a device, with its real CPU, memory, disk and network readings.

Readings are taken every `interval_s` (5 by default; the command `set_interval` or a setup with
`{"interval_s": …}` changes it). While no node can be reached they wait, at most `--keep` of them;
what had to be dropped is said at the next connection. Commands: `ping`, `report_now`,
`set_interval`, `describe`.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import signal
import sys
import time
from typing import Annotated, Any

import psutil
import typer

from service.cli.simulation.device import Device
from service.cli.simulation.outcomes import CommandError
from service.cli.token import TokenOption
from service.cli.urls import parse_urls
from service.endings import heard

#: Bounds of `interval_s`.
_MIN_INTERVAL_S, _MAX_INTERVAL_S = 0.2, 3600.0


class Readings:
    """What psutil knows of this machine; rates are since the previous call.

    Args:
        path: The disk that is reported.
    """

    def __init__(self, path: str = "/") -> None:
        self._path = path
        psutil.cpu_percent()  # the first answer has nothing to compare with
        self._before_s = time.monotonic()
        self._totals = self._counters()

    def take(self) -> dict[str, Any]:
        """Return all readings that this machine offers."""
        now_s, totals = time.monotonic(), self._counters()
        elapsed_s = max(0.001, now_s - self._before_s)
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        disk = psutil.disk_usage(self._path)
        readings = {
            "cpu_percent": psutil.cpu_percent(),
            "load_1m": round(psutil.getloadavg()[0], 2),
            "memory_percent": memory.percent,
            "memory_available_bytes": memory.available,
            "swap_percent": swap.percent,
            "disk_percent": disk.percent,
            "disk_free_bytes": disk.free,
            "processes": len(psutil.pids()),
            "uptime_s": int(time.time() - psutil.boot_time()),
        }
        for name, total in totals.items():
            if name in self._totals:
                grown = max(0, total - self._totals[name])
                readings[f"{name}_bytes_per_s"] = round(grown / elapsed_s)
        battery = getattr(psutil, "sensors_battery", lambda: None)()
        if battery is not None:
            readings["battery_percent"] = round(battery.percent, 1)
        self._before_s, self._totals = now_s, totals
        return readings

    def machine(self) -> dict[str, Any]:
        """Return what does not change: the answer of `describe`."""
        return {
            "host": platform.node(),
            "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "python": platform.python_version(),
            "cpus": psutil.cpu_count() or 1,
            "memory_bytes": psutil.virtual_memory().total,
            "disk_bytes": psutil.disk_usage(self._path).total,
            "booted_at": psutil.boot_time(),
        }

    @staticmethod
    def _counters() -> dict[str, int]:
        """Byte counters since boot; a container may have no disk counters."""
        network, disk = psutil.net_io_counters(), psutil.disk_io_counters()
        totals: dict[str, int] = {}
        if network is not None:
            totals |= {"network_received": network.bytes_recv, "network_sent": network.bytes_sent}
        if disk is not None:
            totals |= {"disk_read": disk.read_bytes, "disk_written": disk.write_bytes}
        return totals


class Agent:
    """The device of this machine.

    Args:
        keep: How many readings wait while there is no connection.
    """

    def __init__(
        self,
        device_id: str,
        urls: list[str],
        *,
        interval_s: float,
        keep: int,
        project: str | None,
        token: str | None = None,
    ) -> None:
        self._readings = Readings()
        self._interval_s = interval_s
        self._sooner = asyncio.Event()
        self._dropped = 0
        self._unreachable = False
        self.device = Device(
            device_id,
            urls,
            token=token,
            session_name=platform.node() or device_id,
            project_id=project,
            meta={"kind": "agent", **self._readings.machine()},
            commands={
                "ping": lambda params: {"pong": params, "time": time.time()},
                "report_now": lambda params: self._report(),
                "set_interval": self._set_interval,
                "describe": lambda params: self._describe(),
            },
            on_setup=self._apply_setup,
            on_event=self._on_event,
            queue_updates=keep,
        )

    async def run(self) -> str:
        """Report until a signal, or until another connection takes the id; return why it ended."""
        loop = asyncio.get_running_loop()
        for number in heard((signal.SIGINT, signal.SIGTERM)):
            loop.add_signal_handler(number, self.device.close, "stopped")
        connected = asyncio.create_task(self.device.run())
        while not connected.done():
            self._report()
            self._sooner.clear()
            sooner = asyncio.ensure_future(self._sooner.wait())
            await asyncio.wait(
                (connected, sooner), timeout=self._interval_s, return_when=asyncio.FIRST_COMPLETED
            )
            sooner.cancel()
        return await connected

    def _report(self) -> dict[str, Any]:
        readings = self._readings.take()
        self.device.update(readings)
        return readings

    def _describe(self) -> dict[str, Any]:
        return {
            **self._readings.machine(),
            "interval_s": self._interval_s,
            "pid": os.getpid(),
            "updates_acked": self.device.counts.acked,
            "updates_dropped": self.device.counts.dropped,
        }

    def _set_interval(self, params: Any) -> dict[str, Any]:
        value = params.get("interval_s") if isinstance(params, dict) else params
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CommandError("bad_params", 'give {"interval_s": seconds}')
        if not _MIN_INTERVAL_S <= value <= _MAX_INTERVAL_S:
            raise CommandError(
                "bad_params", f"interval_s is from {_MIN_INTERVAL_S} to {_MAX_INTERVAL_S:.0f}"
            )
        self._interval_s = float(value)
        self._sooner.set()
        return {"interval_s": self._interval_s}

    def _apply_setup(self, setup: Any) -> None:
        if isinstance(setup, dict) and "interval_s" in setup:
            try:
                self._set_interval(setup)
            except CommandError as error:
                _say(f"setup ignored: {error}")

    def _on_event(self, word: str, detail: str) -> None:
        if word == "dropped":
            lately = self.device.counts.dropped - self._dropped
            self._dropped = self.device.counts.dropped
            if lately:
                _say(f"{lately} readings were dropped while there was no connection")
            return
        if word == "unreachable" and self._unreachable:
            return  # said once per outage
        self._unreachable = word == "unreachable"
        _say(f"{word}: {detail}")


def agent(
    url: Annotated[
        list[str] | None, typer.Option("--url", help="Nodes, separated by commas or repeated.")
    ] = None,
    device_id: Annotated[
        str | None, typer.Option("--id", help="Device id; without it agent-<host name>.")
    ] = None,
    interval: Annotated[
        float,
        typer.Option(min=_MIN_INTERVAL_S, max=_MAX_INTERVAL_S, help="Seconds between readings."),
    ] = 5.0,
    keep: Annotated[
        int,
        typer.Option(min=1, help="Maximum number of readings kept while no node can be reached."),
    ] = 1000,
    project: Annotated[str | None, typer.Option(help="project_id of the device.")] = None,
    token: TokenOption = None,
) -> None:
    """Report this machine's CPU, memory, disk and network readings as a device."""
    urls = parse_urls(url)
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", platform.node()) or "machine"

    async def run() -> str:
        one = Agent(
            device_id or f"agent-{host}",
            urls,
            interval_s=interval,
            keep=keep,
            project=project,
            token=token,
        )
        return await one.run()

    if asyncio.run(run()) != "stopped":
        raise typer.Exit(1)


def _say(text: str) -> None:
    print(f"agent: {text}", file=sys.stderr, flush=True)
