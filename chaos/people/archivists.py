"""Operators who move sessions to the archive and back by hand, in addition to the workers' own sweeps."""

from __future__ import annotations

from chaos.journal import Journal
from chaos.people.crowd import Person
from chaos.system import System


class Archivist(Person):
    """Asks for moves over REST; what is refused, or continues as a job, is nothing to wait for.

    Args:
        devices: Ids of the sessions.
    """

    def __init__(
        self, name: str, devices: list[str], seed: int, system: System, journal: Journal
    ) -> None:
        super().__init__(name, seed, system, journal)
        self._devices = devices

    async def run(self) -> None:
        """Ask for one move after the other."""
        while not self.finishing:
            await self.pause(1, 5)
            where = self.chance.choice(["archive", "restore"])
            path = f"/api/v1/sessions/{self.chance.choice(self._devices)}/{where}"
            try:
                status, answer, _ = await self.ask("POST", path)
            except OSError:
                continue
            if status not in (200, 202):
                self.refused(where, answer)
