"""People who open sessions: each counts as a client until it leaves or its connection ends."""

from __future__ import annotations

import asyncio
from typing import Any

from chaos.journal import Journal
from chaos.people.crowd import Person
from chaos.socket import Reply, Socket, SocketLost
from chaos.system import System
from chaos.wishes import Joined


class Visitor(Person):
    """Joins a session or two, and leaves them, or just goes.

    Args:
        devices: Their ids.
    """

    def __init__(
        self, name: str, devices: list[str], seed: int, system: System, journal: Journal
    ) -> None:
        super().__init__(name, seed, system, journal)
        self._devices = devices

    async def run(self) -> None:
        """Visit, again and again."""
        while not self.finishing:
            await self.pause(0.5, 3)
            try:
                socket = await self.system.connect(self.any_port(), self._event)
            except SocketLost:
                continue
            try:
                await self._visit(socket)
            except SocketLost:
                continue
            finally:
                socket.close("done", abruptly=self.chance.random() < 0.5)

    async def _visit(self, socket: Socket) -> None:
        device = self.chance.choice(self._devices)
        await self._say(socket, "join_session", device)
        await asyncio.sleep(self.chance.uniform(0.1, 4))
        if self.chance.random() < 0.5:
            await self._say(socket, "leave_session", device)

    async def _say(self, socket: Socket, event: str, device: str) -> None:
        answer = await socket.call(event, {"session_id": device})
        if answer["ok"]:
            clients, left = answer["active_clients"], event == "leave_session"
            self.journal.add(Joined, device, self.name, clients, left)
        else:
            self.refused(event, answer["error"])

    def _event(self, event: str, payload: Any, reply: Reply | None) -> None:
        """Take no notice of what is sent."""
