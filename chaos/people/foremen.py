"""Operators who send one command to many devices."""

from __future__ import annotations

import asyncio
from typing import Any

from chaos.journal import Journal
from chaos.people.crowd import Person
from chaos.system import System
from chaos.wishes import BulkAsked, BulkDone, BulkTaken

#: Numbers of these commands, which no other operator has.
FIRST = 10_000_000
TTL_S = 3600.0


class Foreman(Person):
    """Sends a bulk command after the other over REST, each until it is queued for every device.

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
        """Send one after the other."""
        while not self.finishing:
            await self.pause(3, 10)
            await self._order()

    async def _order(self) -> None:
        self._sent += 1
        number, key = FIRST + self._sent, f"{self.name}-{self._sent}"
        devices = self.chance.sample(self._devices, min(len(self._devices), 5))
        body = {"command": "count", "params": {"number": number}, "ttl_s": TTL_S}
        while True:
            self.journal.add(BulkAsked, key, number, devices)
            answer = await self._asked(
                "POST", "/api/v1/commands", {**body, "session_ids": devices}, key
            )
            if answer is not None:
                break
        self.journal.add(BulkTaken, key, answer["batch_id"])
        if self.chance.random() < 0.3:  # again, as after a lost answer
            again = await self._asked(
                "POST", "/api/v1/commands", {**body, "session_ids": devices}, key
            )
            if again is not None:
                self.journal.add(BulkTaken, key, again["batch_id"])
        await self._watch(key, number, answer["batch_id"])

    async def _watch(self, key: str, number: int, batch_id: str) -> None:
        """Wait until it is queued, or refused, for every device."""
        while True:
            shown = await self._asked("GET", f"/api/v1/commands/{batch_id}", None, key)
            if shown is not None and shown.get("code") == "batch_not_found":
                return  # Redis has lost it
            if shown is not None and shown["state"] == "done":
                rows = shown["devices"]
                refused = [row["session_id"] for row in rows if row["status"] == "refused"]
                named = [row["session_id"] for row in rows]
                self.journal.add(BulkDone, key, number, named, refused)
                return
            await asyncio.sleep(0.5)

    async def _asked(self, method: str, path: str, body: Any, key: str) -> Any:
        """Return an answer that says something about the command, or None."""
        headers = {"Idempotency-Key": key} if method == "POST" else {}
        try:
            status, answer, _ = await self.ask(method, path, body, headers)
        except OSError:
            status, answer = 0, None
        if status in (200, 202, 404):
            return answer
        if answer is not None:
            self.refused("bulk", answer)
        await asyncio.sleep(0.3)
        return None
