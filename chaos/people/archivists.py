"""Operators who move sessions to the archive and back by hand, in addition to the workers' own sweeps."""

from __future__ import annotations

from chaos.people.crowd import Caller


class Archivist(Caller):
    """Asks for moves over REST; what is refused, or continues as a job, is nothing to wait for."""

    pauses_s = (1.0, 5.0)

    async def act(self) -> None:
        """Ask for one move."""
        where = self.chance.choice(["archive", "restore"])
        path = f"/api/v1/sessions/{self.any_device()}/{where}"
        try:
            status, answer, _ = await self.ask("POST", path)
        except OSError:
            return
        if status not in (200, 202):
            self.refused(where, answer)
