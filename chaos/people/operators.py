"""Operators who send commands, and repeat a request whose answer was lost with the same key."""

from __future__ import annotations

import asyncio
from typing import Any

from chaos.journal import Journal, Ordered, OrderTaken
from chaos.people.crowd import Person
from chaos.system import System

#: A command may wait as long as any run lasts after it.
TTL_S = 3600


class Operator(Person):
    """Sends commands over REST to any device of the fleet.

    Args:
        devices: Their ids.
    """

    def __init__(
        self, name: str, devices: list[str], seed: int, system: System, journal: Journal
    ) -> None:
        super().__init__(name, seed, system, journal)
        self._devices = devices
        self._sent = 0

    async def run(self) -> None:
        """Send one command after the other."""
        while not self.finishing:
            await self.pause(0.2, 1.5)
            await self._order(self.chance.choice(self._devices))

    async def _order(self, device: str) -> None:
        self._sent += 1
        number, key = self._sent, f"{self.name}-{self._sent}"
        body: dict[str, Any] = {"command": "count", "params": {"number": number}, "ttl_s": TTL_S}
        if self.chance.random() < 0.3:
            body |= {"wait": "result", "timeout_s": 2}
        for _ in range(200):
            self.journal.add(Ordered, self.name, device, key, number)
            try:
                path = f"/api/v1/sessions/{device}/commands"
                status, answer, _ = await self.ask("POST", path, body, {"Idempotency-Key": key})
            except OSError:
                await self.pause(0.1, 0.4)
                continue
            if status in (200, 202):
                state = answer["status"]
                taken = (self.name, device, key, answer["command_id"], state)
                self.journal.add(OrderTaken, *taken)
                return
            self.refused("commands", answer)
            if answer["code"] == "command_timeout":
                taken = (self.name, device, key, answer["command_id"], "queued")
                self.journal.add(OrderTaken, *taken)
                return
            if answer["code"] == "session_not_found" and not self.finishing:
                return  # it has not registered yet
            await asyncio.sleep(min(1.0, answer.get("retry_after_s", 0.3)))
