"""Operators who send commands, repeat a request whose answer was lost with the same key, and cancel some."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from chaos.people.crowd import Caller
from chaos.wishes import CancelAsked, CancelTaken, Mismatched, Ordered, OrderTaken

#: A command may wait as long as any run lasts after it; some end before most devices can answer.
TTL_S = 3600.0
SHORT_S = (0.5, 8.0)


class Operator(Caller):
    """Sends commands over REST to any device of the fleet."""

    pauses_s = (0.2, 1.5)

    async def act(self) -> None:
        """Send one command."""
        device, number = self.any_device(), self.next_number()
        key = f"{self.name}-{number}"
        ttl_s = round(self.chance.uniform(*SHORT_S), 3) if self.chance.random() < 0.2 else TTL_S
        body: dict[str, Any] = {"command": "count", "params": {"number": number}, "ttl_s": ttl_s}
        if self.chance.random() < 0.3:
            body |= {"wait": "result", "timeout_s": 2}
        for _ in range(200):
            self.journal.add(Ordered, self.name, device, key, number, ttl_s)
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
                if self.chance.random() < 0.1:
                    await self._mistake(path, body, key, answer["command_id"])
                if self.chance.random() < 0.2:
                    await self.pause(0.0, 0.5)
                    await self._cancel(device, answer["command_id"])
                return
            self.refused("commands", answer)
            if answer["code"] == "command_timeout":
                taken = (self.name, device, key, answer["command_id"], "queued")
                self.journal.add(OrderTaken, *taken)
                return
            if answer["code"] == "session_not_found" and not self.finishing:
                return  # it has not registered yet
            await asyncio.sleep(min(1.0, answer.get("retry_after_s", 0.3)))

    async def _mistake(self, path: str, body: dict[str, Any], key: str, command_id: str) -> None:
        """Use a key for another request."""
        other = {**body, "params": {"number": -1}}
        try:
            status, answer, _ = await self.ask("POST", path, other, {"Idempotency-Key": key})
        except OSError:
            return
        code = "" if status in (200, 202) else answer["code"]
        if not (code and answer.get("retryable")):
            named = answer.get("command_id", "")
            self.journal.add(Mismatched, key, command_id, code, named)

    async def cancel_delivered(self, lost: set[str]) -> None:
        """Cancel those of these commands that were acknowledged and have no outcome.

        Their devices handed it in before the data was lost, and will not do so again.
        """
        for device in self._devices:
            with contextlib.suppress(OSError):
                status, answer, _ = await self.ask("GET", f"/api/v1/sessions/{device}/commands")
                for command in answer["commands"] if status == 200 else ():
                    if command["command_id"] in lost and command["status"] == "delivered":
                        await self._cancel(device, command["command_id"])

    async def _cancel(self, device: str, command_id: str) -> None:
        self.journal.add(CancelAsked, self.name, device, command_id)
        try:
            path = f"/api/v1/sessions/{device}/commands/{command_id}"
            status, answer, _ = await self.ask("DELETE", path)
        except OSError:
            return  # it is open whether it was cancelled
        if status == 200:
            self.journal.add(CancelTaken, self.name, device, command_id, answer["status"])
        elif answer["code"] == "conflict":
            status_then = answer["status_of_command"]
            self.journal.add(CancelTaken, self.name, device, command_id, status_then)
        else:
            self.refused("cancel", answer)
