"""A simulated fleet: machines, each behind a device, spread over the nodes, and what they counted.

All devices live on one event loop; a device costs one socket and one timer. Every update carries
`tick`, the device's own count of its updates, by which `verification` finds what is missing.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Sequence
from typing import Any

from service.cli.simulation import machines
from service.cli.simulation.device import Device, Update
from service.cli.simulation.outcomes import CommandError

#: Connections begun per second at the start, so that a thousand devices do not arrive at once.
_CONNECTS_PER_S = 250


class Latencies:
    """Durations in logarithmic buckets of 4 % width: percentiles of any number of them in 4 kB."""

    _WIDTH = math.log(1.04)

    def __init__(self) -> None:
        self.count = 0
        self.max_s = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        self.count += 1
        self.max_s = max(self.max_s, seconds)
        bucket = math.ceil(math.log(max(seconds, 1e-6)) / self._WIDTH)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def percentile_s(self, percent: float) -> float:
        """Return the duration that `percent` of all stay within; 0 when there are none."""
        left = self.count * percent / 100
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return min(self.max_s, math.exp(bucket * self._WIDTH))
        return self.max_s


class SimulatedDevice:
    """A machine with a device in front of it that sends `rate` updates per second."""

    def __init__(
        self,
        device_id: str,
        urls: Sequence[str],
        machine: machines.Machine,
        *,
        rate: float,
        values: int,
        project_id: str | None,
        token: str | None,
        latencies: Latencies,
    ) -> None:
        self.machine = machine
        self.tick = 0
        self.acked_tick = 0
        self.most_samples = 1
        self.is_new = False  #: the session began with this run
        self._period_s = 1 / rate
        self._values = values
        self._latencies = latencies
        self._due_s = 0.0
        self._before_s = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self.device = Device(
            device_id,
            urls,
            token=token,
            session_name=device_id.replace("-", " ").title(),
            project_id=project_id,
            meta={"kind": machine.kind, "simulated": True},
            commands={
                "ping": lambda params: {"pong": params, "tick": self.tick},
                "report_now": lambda params: self.send(),
                "set_interval": self._set_interval,
                "describe": self._describe,
                **machine.commands(),
            },
            on_event=self._on_event,
            on_acked=self._acked,
            max_delay_s=5.0,
        )

    def begin(self) -> None:
        """Send updates from now on, beginning somewhere within the first period."""
        self._due_s = asyncio.get_running_loop().time() + random.uniform(0, self._period_s)
        self._next()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def may_settle(self) -> bool:
        """Return whether acks may still come: it was there once and has not given up."""
        device = self.device
        return bool(device.unfinished and device.counts.connects and not device.ended)

    def send(self) -> dict[str, Any]:
        """Send one update now; return what it carries."""
        now_s = time.monotonic()
        readings = self.machine.readings(min(now_s - self._before_s, 10.0))
        self._before_s = now_s
        if 0 < self._values < len(readings):
            names = list(readings)
            first = self.tick * self._values
            picked = [names[(first + i) % len(names)] for i in range(self._values)]
            readings = {name: readings[name] for name in picked}
        self.tick += 1
        readings["tick"] = self.tick
        self.most_samples = max(self.most_samples, len(readings))
        self.device.update(readings)
        return readings

    def _next(self) -> None:
        if not self.device.ended:
            self._timer = asyncio.get_running_loop().call_at(self._due_s, self._fire)

    def _fire(self) -> None:
        self.send()
        self._due_s += self._period_s
        self._next()

    def _on_event(self, word: str, detail: str) -> None:
        if word == "connected" and self.device.counts.connects == 1:
            answer = self.device.registration
            self.is_new = not (answer.get("resumed") or answer.get("restored"))

    def _acked(self, update: Update, seconds: float) -> None:
        self.acked_tick = max(self.acked_tick, update.data["tick"])
        self._latencies.add(seconds)

    def _set_interval(self, params: Any) -> dict[str, Any]:
        try:
            interval_s = float(params["interval_s"])
        except (TypeError, KeyError, ValueError):
            raise CommandError("bad_params", 'give {"interval_s": seconds}') from None
        if not 0.01 <= interval_s <= 3600:
            raise CommandError("bad_params", "interval_s is a number from 0.01 to 3600")
        self._period_s = interval_s
        return {"interval_s": interval_s}

    def _describe(self, params: Any) -> dict[str, Any]:
        return {
            "kind": self.machine.kind,
            "interval_s": self._period_s,
            "keys": sorted(self.machine.readings(0.0)),
            "commands": [
                "ping",
                "report_now",
                "set_interval",
                "describe",
                *self.machine.commands(),
            ],
        }


class Fleet:
    """`count` devices spread over `urls`."""

    def __init__(
        self,
        urls: Sequence[str],
        count: int,
        *,
        rate: float,
        kind: str = "mixed",
        prefix: str = "",
        project_id: str | None = None,
        values: int = 0,
        token: str | None = None,
    ) -> None:
        self.urls = list(urls)
        self.token = token
        self.latencies = Latencies()
        kinds = [one for one in machines.KINDS if kind in ("mixed", one.kind)]
        self.members = [
            SimulatedDevice(
                f"{prefix}{kinds[i % len(kinds)].kind}-{i // len(kinds) + 1:03d}",
                [self.urls[(i + j) % len(self.urls)] for j in range(len(self.urls))],
                kinds[i % len(kinds)](random.Random(i)),
                rate=rate,
                values=values,
                project_id=project_id,
                token=token,
                latencies=self.latencies,
            )
            for i in range(count)
        ]
        self._runs: list[asyncio.Task[str]] = []

    def total(self, count: str) -> int:
        """Sum of one of the devices' counts."""
        return sum(getattr(one.device.counts, count) for one in self.members)

    @property
    def connected(self) -> int:
        return sum(one.device.connected for one in self.members)

    @property
    def ended(self) -> dict[str, int]:
        """Return how many devices gave up, by reason."""
        reasons: dict[str, int] = {}
        for one in self.members:
            if one.device.ended not in ("", "closed here"):
                reasons[one.device.ended] = reasons.get(one.device.ended, 0) + 1
        return reasons

    @property
    def unacked(self) -> int:
        return sum(one.device.unfinished for one in self.members)

    async def connect(self) -> None:
        """Begin to connect every device; they keep themselves connected from then on."""
        for one in self.members:
            self._runs.append(asyncio.create_task(one.device.run()))
            await asyncio.sleep(1 / _CONNECTS_PER_S)

    def begin(self) -> None:
        for one in self.members:
            one.begin()

    async def settle(self, timeout_s: float) -> None:
        """Stop sending and wait for the acks that are on their way."""
        for one in self.members:
            one.end()
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if not any(one.may_settle for one in self.members):
                return
            await asyncio.sleep(0.02)

    async def leave(self) -> None:
        """Disconnect every device."""
        for one in self.members:
            one.end()
            one.device.close()
        await asyncio.gather(*self._runs, return_exceptions=True)
