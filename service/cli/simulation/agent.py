"""`muster agent`: this machine as a device, with its real CPU, memory, disk and network readings.

Readings are taken every `interval_s` (5 by default; the command `set_interval` or a setup with
`{"interval_s": …}` changes it). While no node can be reached they wait, at most `--keep` of them;
what had to be dropped is said at the next connection. Commands: `ping`, `report_now`,
`set_interval`, `describe`. It is a device of `muster_client`, as users write them.
"""

from __future__ import annotations

import asyncio
import math
import os
import platform
import re
import signal
import sys
import time
from typing import Annotated, Any

import psutil
import typer
from muster_client import AsyncDevice, Bounds

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
        self._ended = asyncio.Event()
        self._dropped = 0  # values that went since the last connection
        self._is_unreachable = self._was_online = False
        self._keys = len(self._readings.take())
        self.device = AsyncDevice(
            urls,
            device_id,
            token=token,
            name=platform.node() or device_id,
            project_id=project,
            meta={"kind": "agent", **self._readings.machine()},
            bounds=Bounds(samples=keep * self._keys),
            on_drop=self._on_drop,
            on_state=self._on_state,
        )
        for command in (self.ping, self.report_now, self.set_interval, self.describe):
            self.device.command(command.__name__)(command)
        self.device.on_setup(self._apply_setup)

    async def run(self) -> str:
        """Report until a signal, or until another connection takes the id; return why it ended."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in heard((signal.SIGINT, signal.SIGTERM)):
            loop.add_signal_handler(number, stopped.set)
        ends = [asyncio.ensure_future(one.wait()) for one in (stopped, self._ended)]
        async with self.device:
            while not any(one.done() for one in ends):
                self._report()
                self._sooner.clear()
                sooner = asyncio.ensure_future(self._sooner.wait())
                await asyncio.wait(
                    (*ends, sooner),
                    timeout=self._interval_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                sooner.cancel()
        for one in ends:
            one.cancel()
        return self.device.why

    def _report(self) -> dict[str, Any]:
        readings = self._readings.take()
        self.device.send(readings)
        return readings

    async def ping(self, params: Any) -> dict[str, Any]:
        return {"pong": params, "time": time.time()}

    async def report_now(self, _params: Any) -> dict[str, Any]:
        return self._report()

    async def describe(self, _params: Any) -> dict[str, Any]:
        return {
            **self._readings.machine(),
            "interval_s": self._interval_s,
            "pid": os.getpid(),
            "values_unacked": self.device.unacked,
        }

    async def set_interval(self, params: Any) -> dict[str, Any]:
        value = params.get("interval_s") if isinstance(params, dict) else params
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError('give {"interval_s": seconds}')
        if not _MIN_INTERVAL_S <= value <= _MAX_INTERVAL_S:
            raise ValueError(f"interval_s is from {_MIN_INTERVAL_S} to {_MAX_INTERVAL_S:.0f}")
        self._interval_s = float(value)
        self._sooner.set()
        return {"interval_s": self._interval_s}

    async def _apply_setup(self, setup: Any, version: int) -> None:
        """Take the interval of a setup; one that is wrong is not reported as running."""
        if isinstance(setup, dict) and "interval_s" in setup:
            try:
                await self.set_interval(setup)
            except ValueError as error:
                _say(f"setup {version} not applied: {error}")
                raise

    def _on_drop(self, count: int) -> None:
        self._dropped += count

    def _on_state(self, state: str, why: str) -> None:
        if state == "online":
            _say(f"connected: {why}")
            if self._dropped:
                readings = math.ceil(self._dropped / self._keys)
                _say(f"{readings} readings were dropped while there was no connection")
            self._dropped, self._is_unreachable, self._was_online = 0, False, True
        elif state == "ended":
            _say(f"ended: {why}")
            self._ended.set()
        elif state == "offline" and self._was_online:
            self._was_online = False
            _say(f"disconnected: {why}")
        elif state == "offline" and not self._is_unreachable:
            self._is_unreachable = True  # said once per outage
            _say(f"unreachable: {why}")


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
