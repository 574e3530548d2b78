"""Operators who disconnect a device for a while."""

from __future__ import annotations

from chaos.people.crowd import Caller
from chaos.wishes import KickAsked, Kicked


class Guard(Caller):
    """Sends devices away over REST; they come too early on purpose."""

    pauses_s = (1.0, 6.0)

    async def act(self) -> None:
        """Send one away."""
        device = self.any_device()
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
