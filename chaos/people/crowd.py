"""What all people have: a name, a source of chance of their own, and ways to the service."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from chaos.journal import Journal, Lost, Refused
from chaos.system import System


class Person:
    """A client of the run, which does things until it is to finish.

    Args:
        name: Unique; with the seed it decides all that this person intends.
        seed: The run's.
    """

    #: How long it does nothing before each thing that it does, s.
    pauses_s = (0.5, 3.0)

    def __init__(self, name: str, seed: int, system: System, journal: Journal) -> None:
        self.name = name
        self.chance = random.Random(f"{seed}/{name}")
        self.system = system
        self.journal = journal
        self.finishing = False  #: begin nothing new, bring to an end what was begun

    async def run(self) -> None:
        """Do what such people do, until `finishing` and nothing is open."""
        while not self.finishing:
            await self.pause(*self.pauses_s)
            await self.act()

    async def act(self) -> None:
        """Do one thing, to its end."""
        raise NotImplementedError

    async def pause(self, shortest_s: float, longest_s: float) -> None:
        """Do nothing for a while."""
        await asyncio.sleep(self.chance.uniform(shortest_s, longest_s))

    def any_port(self) -> int:
        """Return the way to some node."""
        return self.chance.choice(self.system.nodes).people.port

    def refused(self, event: str, error: dict[str, Any]) -> None:
        """Note an error."""
        about = (bool(error.get("retryable")), error.get("retry_after_s", 0.0))
        self.journal.add(Refused, self.name, event, error["code"], *about)

    def lost(self, port: int, reason: str) -> None:
        """Note the end of a connection."""
        (node,) = [n for n in self.system.nodes if n.people.port == port]
        self.journal.add(Lost, self.name, f"node {node.index}", reason)

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Make a request of some node.

        Raises:
            OSError: No whole answer came.
        """
        return await self.system.ask(self.any_port(), method, path, body, headers)


class Caller(Person):
    """A person who has to do with some devices.

    Args:
        devices: Their ids.
    """

    def __init__(
        self, name: str, devices: list[str], seed: int, system: System, journal: Journal
    ) -> None:
        super().__init__(name, seed, system, journal)
        self._devices = devices
        self._done = 0

    def next_number(self) -> int:
        """Count what it does: 1, 2, 3 …"""
        self._done += 1
        return self._done

    def any_device(self) -> str:
        """Return the id of one of its devices."""
        return self.chance.choice(self._devices)
