"""What simulated devices measure: machines with a little physics, so that a dashboard looks alive.

Each machine has `readings(elapsed_s)`, which moves it on and returns all its values, and
`commands`, which change what it does next. Nothing here knows of sockets or of Muster.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

Command = Callable[[Any], "Any | Awaitable[Any]"]


class Machine(Protocol):
    """What `muster simulate` asks of a machine."""

    kind: str

    def readings(self, elapsed_s: float) -> dict[str, Any]:
        """Return all values after `elapsed_s` more seconds."""

    def commands(self) -> Mapping[str, Command]:
        """Return its own commands, by name."""


class RaceCar:
    """Laps on an oval of 4 km with two hairpins; stops for fuel by itself."""

    kind = "car"

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._pace = chance.uniform(0.9, 1.1)
        self._metres = chance.uniform(0, 4000)
        self._speed_kmh = 0.0
        self._fuel_percent = chance.uniform(30, 100)
        self._tyre_c = 60.0
        self._stopped_s = 0.0
        self._limit_kmh = 330.0

    def readings(self, elapsed_s: float) -> dict[str, Any]:
        angle = 2 * math.pi * (self._metres % 4000) / 4000
        wanted_kmh = (
            (215 + 95 * math.cos(2 * angle)) * self._pace * self._chance.uniform(0.97, 1.03)
        )
        self._stopped_s = max(0.0, self._stopped_s - elapsed_s)
        if self._stopped_s:
            wanted_kmh = 0.0
            self._fuel_percent = min(100.0, self._fuel_percent + 20 * elapsed_s)
        wanted_kmh = min(wanted_kmh, self._limit_kmh)
        self._speed_kmh += (wanted_kmh - self._speed_kmh) * min(1.0, elapsed_s * 0.9)
        self._metres += self._speed_kmh / 3.6 * elapsed_s
        self._fuel_percent = max(0.0, self._fuel_percent - self._speed_kmh * elapsed_s / 5000)
        if self._fuel_percent < 3:
            self._stopped_s = 5.0
        self._tyre_c += (55 + self._speed_kmh * 0.17 - self._tyre_c) * min(1.0, elapsed_s / 20)
        gear = 0 if self._speed_kmh < 5 else min(8, 1 + int(self._speed_kmh / 42))
        return {
            "speed_kmh": round(self._speed_kmh, 1),
            "rpm": int(4000 + (self._speed_kmh % 42) * 190) if gear else 1200,
            "gear": gear,
            "lap": int(self._metres // 4000),
            "fuel_percent": round(self._fuel_percent, 1),
            "tyre_temperature_c": round(self._tyre_c, 1),
            "position": {
                "x_m": round(900 * math.cos(angle), 1),
                "y_m": round(420 * math.sin(angle), 1),
            },
            "state": "pit" if self._stopped_s else "racing",
        }

    def commands(self) -> Mapping[str, Command]:
        return {"pit_stop": self._pit_stop, "set_speed_limit": self._set_speed_limit}

    async def _pit_stop(self, params: Any) -> Any:
        self._stopped_s = 4.0
        await asyncio.sleep(2)
        return {"fuel_percent": round(self._fuel_percent, 1)}

    def _set_speed_limit(self, params: Any) -> Any:
        self._limit_kmh = max(0.0, float(params["kmh"]))
        return {"kmh": self._limit_kmh}


class Kiosk:
    """Sells tickets to a crowd that comes in waves, and runs out of paper now and then."""

    kind = "kiosk"

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._clock_s = chance.uniform(0, 600)
        self._queue = 0.0
        self._sold = chance.randrange(500)
        self._paper_percent = chance.uniform(20, 100)
        self._restarting_s = 0.0

    def readings(self, elapsed_s: float) -> dict[str, Any]:
        self._clock_s += elapsed_s
        self._restarting_s = max(0.0, self._restarting_s - elapsed_s)
        wave = 0.25 + 0.2 * math.sin(self._clock_s / 60)
        self._queue += max(0.0, self._chance.gauss(wave, 0.3)) * elapsed_s
        open_now = self._paper_percent > 0 and not self._restarting_s
        served = min(self._queue, 0.3 * elapsed_s) if open_now else 0.0
        self._queue -= served
        self._paper_percent = max(0.0, self._paper_percent - served * 0.8)
        if self._chance.random() < served:
            self._sold += 1
        return {
            "queue_length": int(self._queue),
            "tickets_sold": self._sold,
            "paper_percent": round(self._paper_percent, 1),
            "screen_temperature_c": round(38 + 6 * math.sin(self._clock_s / 90), 1),
            "wifi_dbm": int(self._chance.gauss(-58, 3)),
            "state": "open" if open_now else "restarting" if self._restarting_s else "no_paper",
        }

    def commands(self) -> Mapping[str, Command]:
        return {"refill_paper": self._refill_paper, "restart": self._restart}

    def _refill_paper(self, params: Any) -> Any:
        self._paper_percent = 100.0
        return {"paper_percent": 100.0}

    async def _restart(self, params: Any) -> Any:
        self._restarting_s = 3.0
        await asyncio.sleep(3)
        return {"state": "open"}


class Robot:
    """Carries boxes across a hall and drives to its dock when the battery runs low."""

    kind = "robot"

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._x_m, self._y_m = chance.uniform(1, 59), chance.uniform(1, 39)
        self._goal = (chance.uniform(1, 59), chance.uniform(1, 39))
        self._battery_percent = chance.uniform(35, 100)
        self._load_kg = 0.0
        self._moved_boxes = chance.randrange(200)
        self._state = "moving"

    def readings(self, elapsed_s: float) -> dict[str, Any]:
        if self._state == "charging":
            self._battery_percent = min(100.0, self._battery_percent + 2.5 * elapsed_s)
            if self._battery_percent >= 95:
                self._state = "moving"
        elif self._state == "moving":
            self._move(elapsed_s)
        return {
            "battery_percent": round(self._battery_percent, 1),
            "position": {"x_m": round(self._x_m, 2), "y_m": round(self._y_m, 2)},
            "load_kg": self._load_kg,
            "boxes_moved": self._moved_boxes,
            "motor_current_a": round(
                self._chance.gauss(4 + self._load_kg / 8, 0.3) if self._state == "moving" else 0.4,
                2,
            ),
            "state": self._state,
        }

    def _move(self, elapsed_s: float) -> None:
        dx, dy = self._goal[0] - self._x_m, self._goal[1] - self._y_m
        distance_m, step_m = math.hypot(dx, dy), 1.6 * elapsed_s
        self._battery_percent -= 0.25 * elapsed_s
        if self._battery_percent < 15:
            self._goal = (0.0, 0.0)
        if distance_m > step_m:
            self._x_m += dx / distance_m * step_m
            self._y_m += dy / distance_m * step_m
            return
        if self._battery_percent < 15:
            self._state = "charging"
        self._moved_boxes += 1 if self._load_kg else 0
        self._load_kg = 0.0 if self._load_kg else round(self._chance.uniform(2, 40), 1)
        self._goal = (self._chance.uniform(1, 59), self._chance.uniform(1, 39))

    def commands(self) -> Mapping[str, Command]:
        return {"halt": self._halt, "resume": self._resume, "go_to": self._go_to}

    def _halt(self, params: Any) -> Any:
        self._state = "halted"
        return {"x_m": round(self._x_m, 2), "y_m": round(self._y_m, 2)}

    def _resume(self, params: Any) -> Any:
        self._state = "moving"
        return {"state": self._state}

    def _go_to(self, params: Any) -> Any:
        self._goal = (float(params["x_m"]), float(params["y_m"]))
        self._state = "moving"
        return {"x_m": self._goal[0], "y_m": self._goal[1]}


#: A mixed fleet takes these in turn.
KINDS: tuple[type[RaceCar] | type[Kiosk] | type[Robot], ...] = (RaceCar, Kiosk, Robot)
