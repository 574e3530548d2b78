"""Devices without a socket: they report over HTTP, sleep, and repeat what was not answered (docs/api.md)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from chaos.journal import Acked, Journal, Reported, Sent
from chaos.people.crowd import Person
from chaos.people.errands import Errands
from chaos.system import System

#: How often it says that it reports, s.
EVERY_S = 1.0
#: So long after its last request it counts as overdue; now and then it sleeps for longer.
OVERDUE_S = 3 * EVERY_S
#: At most so many counts go into one report.
MOST = 5


class SmallDevice(Person):
    """Counts 1, 2, 3 … and reports what it has; in between it sleeps, or its request waits for commands."""

    def __init__(self, name: str, seed: int, system: System, journal: Journal) -> None:
        super().__init__(name, seed, system, journal)
        self.device_id = name
        self._errands = Errands(name, name, self.chance, journal)
        self._streams = self._seq = self._count = 0
        self._waiting: list[int] = []
        self._is_known = False  # how often it reports
        self._under_way: list[int] = []  # with the number `_seq`, sent until it is answered
        self._seen: list[str] = []
        self._answers: dict[str, dict[str, Any]] = {}  # at once: command id → its result

    @property
    def open(self) -> int:
        """Return how much is not settled."""
        return len(self._waiting) + len(self._under_way) + len(self._answers) + self._errands.open

    async def run(self) -> None:
        """Report again and again, until all is settled."""
        while not (self.finishing and not self.open):
            if not self.finishing:
                for _ in range(self.chance.randint(1, 3)):
                    self._count += 1
                    self._waiting.append(self._count)
            try:
                if self.chance.random() < 0.7 or self.finishing or not self._is_known:
                    await self._report()
                else:
                    await self._collect()
            except OSError:
                pass  # it is open what became of it: the same again
            if not self.finishing and self.chance.random() < 0.1:
                await self.pause(2 * OVERDUE_S, 3 * OVERDUE_S)
            await self.pause(0.2, 2.0)

    async def _report(self) -> None:
        if not self._under_way and self._waiting:
            self._seq += 1
            self._under_way = self._waiting[:MOST]
            del self._waiting[:MOST]
        stream = f"{self.name}-{self._streams}"
        body: dict[str, Any] = {"expect_every_s": EVERY_S, "stream": stream}
        if self._under_way:
            body |= {"samples": [[self.name, count] for count in self._under_way], "seq": self._seq}
        seen, results = list(self._seen), [*self._answers.values(), *self._errands.due()]
        body |= {"seen": seen, "results": results}
        for count in self._under_way:
            self.journal.add(Sent, self.device_id, self.name, stream, self._seq, count)
        path = f"/api/v1/devices/{self.device_id}/updates"
        asked_at = self.journal.now
        status, answer, _ = await self.ask("POST", path, body)
        self._note(answer.get("results") or [])
        if status == 200:
            self._seen = [name for name in self._seen if name not in seen]
            about = (self.device_id, self.name, asked_at, EVERY_S, tuple(seen))
            self.journal.add(Reported, *about)
            self._is_known = True
            self._settle()
            self._take(answer, asked_at)
            return
        self.refused("updates", answer)
        if answer["code"] == "conflict":  # Redis has lost updates that were acked
            self._waiting = self._under_way + self._waiting
            self._under_way, self._seq = [], 0
            self._streams += 1
        await asyncio.sleep(min(2.0, answer.get("retry_after_s", 0.3)))

    async def _collect(self) -> None:
        """Wait for commands."""
        path = f"/api/v1/devices/{self.device_id}/commands?wait_s={self.chance.choice([0, 1, 2])}"
        asked_at = self.journal.now
        status, answer, _ = await self.ask("GET", path)
        if status == 200:
            self.journal.add(Reported, self.device_id, self.name, asked_at, EVERY_S)
            self._take(answer, asked_at)
        else:
            self.refused("commands", answer)

    def _settle(self) -> None:
        for count in self._under_way:
            self.journal.add(Acked, self.device_id, self.name, count, 0, None)
        self._under_way = []

    def _take(self, answer: dict[str, Any], asked_at: float) -> None:
        for command in answer["commands"]:
            reply = partial(self._reply, command["command_id"])
            self._errands.take(command, asked_at, reply, lambda: None)

    def _reply(self, command_id: str, said: dict[str, Any]) -> None:
        if said:
            self._answers[command_id] = {"command_id": command_id, **said}
        else:
            self._seen.append(command_id)

    def _note(self, results: list[dict[str, Any]]) -> None:
        """Forget what was handed in and answered."""
        for result in results:
            command_id, code = result["command_id"], (result.get("error") or {}).get("code")
            if code not in (None, "command_not_found"):
                continue  # it is handed in again
            if self._answers.pop(command_id, None) is not None:
                self._errands.noted(command_id, result.get("status", ""))
            else:
                self._errands.taken(command_id, result.get("status", ""))
