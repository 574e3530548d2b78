"""Operators who disconnect a device for a while."""

from __future__ import annotations

from chaos.journal import Journal
from chaos.people.crowd import Person
from chaos.system import System
from chaos.wishes import KickAsked, Kicked


class Guard(Person):
    """Sends devices away over REST; they come too early on purpose.

    Args:
        devices: Their ids.
    """

    def __init__(
        self, name: str, devices: list[str], seed: int, system: System, journal: Journal
    ) -> None:
        super().__init__(name, seed, system, journal)
        self._devices = devices

    async def run(self) -> None:
        """Send one away after the other."""
        while not self.finishing:
            await self.pause(2, 8)
            await self._kick(self.chance.choice(self._devices))

    async def _kick(self, device: str) -> None:
        away_s, asked_at = round(self.chance.uniform(0.5, 3), 3), self.journal.now
        self.journal.add(KickAsked, device, away_s)
        path = f"/api/v1/sessions/{device}/disconnect"
        try:
            status, answer, _ = await self.ask("POST", path, {"retry_after_s": away_s})
        except OSError:
            return  # it is open whether it was sent away
        if status == 200:
            self.journal.add(Kicked, device, away_s, asked_at)
        else:
            self.refused("disconnect", answer)
