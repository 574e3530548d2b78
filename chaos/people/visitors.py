"""People who open sessions: each counts as a client until it leaves or its connection ends."""

from __future__ import annotations

import asyncio
from typing import Any

from chaos.people.crowd import Caller
from chaos.socket import Reply, Socket, SocketLost
from chaos.wishes import JoinAsked, Joined, VisitOver


class Visitor(Caller):
    """Joins a session, and leaves it, or just goes; each visit is a client of its own."""

    pauses_s = (0.3, 2.0)

    async def act(self) -> None:
        """Make a visit."""
        visit = f"{self.name}-{self.next_number()}"
        try:
            socket = await self.system.connect(self.any_port(), self._event)
        except SocketLost:
            return
        try:
            await self._visit(socket, visit)
        except SocketLost:
            pass
        finally:
            socket.close("done", abruptly=self.chance.random() < 0.5)
            self.journal.add(VisitOver, visit)

    async def _visit(self, socket: Socket, visit: str) -> None:
        device = self.any_device()
        await self._say(socket, "join_session", device, visit)
        await asyncio.sleep(self.chance.uniform(0.1, 4))
        if self.chance.random() < 0.5:
            await self._say(socket, "leave_session", device, visit)
            await self.pause(0.0, 1.0)

    async def _say(self, socket: Socket, event: str, device: str, visit: str) -> None:
        asked_at, left = self.journal.now, event == "leave_session"
        self.journal.add(JoinAsked, device, visit, left)
        answer = await socket.call(event, {"session_id": device})
        if answer["ok"]:
            self.journal.add(Joined, device, visit, answer["active_clients"], left, asked_at)
        else:
            self.refused(event, answer["error"])

    def _event(self, event: str, payload: Any, reply: Reply | None) -> None:
        """Take no notice of what is sent."""
