"""Operators who send one command to many devices."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from chaos.people.crowd import Caller
from chaos.wishes import BulkAsked, BulkDone, BulkTaken

#: Numbers of these commands, which no other operator has.
FIRST = 10_000_000
TTL_S = 3600.0


class Foreman(Caller):
    """Sends a bulk command after the other over REST, each until it is queued for every device."""

    pauses_s = (3.0, 10.0)

    async def act(self) -> None:
        """Send one."""
        done = self.next_number()
        number, key = FIRST + done, f"{self.name}-{done}"
        devices = self.chance.sample(self._devices, min(len(self._devices), 5))
        body: dict[str, Any] = {"command": "count", "params": {"number": number}, "ttl_s": TTL_S}
        body["session_ids"] = devices
        send = partial(self._asked, "POST", "/api/v1/commands", body, key)
        while True:
            self.journal.add(BulkAsked, key, number, devices)
            answer = await send()
            if answer is not None:
                break
        self.journal.add(BulkTaken, key, answer["batch_id"])
        if self.chance.random() < 0.3:  # again, as after a lost answer
            again = await send()
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
