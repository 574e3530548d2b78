"""Sessions that are deleted soon, and everything that tries to bring them back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from chaos.journal import Journal
from chaos.people.crowd import Person
from chaos.socket import Reply, Socket, SocketLost
from chaos.system import System
from chaos.wishes import Deleted, LateWrite

#: How long a deleted device may take to be notified.
TOLD_S = 5.0
#: Between which its sessions move.
PROJECTS = ["red", "blue"]


class Brief(Person):
    """Makes one session after the other, moves some to another project, deletes each, and writes to it once more."""

    pauses_s = (0.5, 4.0)

    def __init__(self, name: str, seed: int, system: System, journal: Journal) -> None:
        super().__init__(name, seed, system, journal)
        self._made = 0

    async def act(self) -> None:
        """Make and delete one."""
        self._made += 1
        device = f"{self.name}-{self._made}"
        with contextlib.suppress(SocketLost, OSError):
            await (self._with_socket if self.chance.random() < 0.7 else self._without)(device)

    async def _with_socket(self, device: str) -> None:
        project, other = self.chance.sample(PROJECTS, 2)
        socket = await self.system.connect(self.any_port(), self._event)
        try:
            answer = await socket.call("register", {"device_id": device, "project_id": project})
            if not answer["ok"]:
                self.refused("register", answer["error"])
                return
            if self.chance.random() < 0.4:
                await self.pause(0.1, 1)
                await socket.call("register", {"device_id": device, "project_id": other})
                await self.pause(0.1, 1)
            else:  # what has samples stays where it is: dashboards are judged by where it is in the end
                await socket.call("update_data", {"data": {"count": 1}, "seq": 1})
            if self.chance.random() < 0.3:
                socket.close("left")
                await self.pause(0.1, 8)  # some are archived by then
            if await self._deleted(f"/api/v1/sessions/{device}", device):
                await self._write(device, socket)
        finally:
            socket.close("done", abruptly=True)

    async def _without(self, device: str) -> None:
        """Let a device without a socket report from two projects."""
        path = f"/api/v1/devices/{device}/updates"
        for project in self.chance.sample(PROJECTS, 2):
            status, answer, _ = await self.ask(
                "POST", path, {"project_id": project, "expect_every_s": 1}
            )
            if status != 200:
                self.refused("updates", answer)
                return
            await self.pause(0.1, 1)
        if await self._deleted(f"/api/v1/sessions/{device}", device):
            await self._write(device)

    async def _deleted(self, path: str, device: str) -> bool:
        """Delete it, until an answer says that it is gone."""
        asked_at = self.journal.now
        for _ in range(100):
            try:
                status, answer, _ = await self.ask("DELETE", path)
            except OSError:
                await self.pause(0.1, 0.4)
                continue
            if status in (204, 404):
                self.journal.add(Deleted, device, asked_at)
                return True
            self.refused("delete", answer)
            await asyncio.sleep(0.3)
        return False

    async def _write(self, device: str, socket: Socket | None = None) -> None:
        """Write to what is gone: by the socket that had it, as a person, and from the archive."""
        if socket is not None and not socket.closed.done():
            late = await socket.call("update_data", {"data": {"count": 2}, "seq": 2}, TOLD_S)
            self.journal.add(LateWrite, device, "update_data", late["ok"])
        path = f"/api/v1/sessions/{device}/telemetry"
        status, _, _ = await self.ask("POST", path, {"telemetry": {"count": 3}})
        self.journal.add(LateWrite, device, "telemetry", status == 200)
        status, _, _ = await self.ask("GET", f"/api/v1/sessions/{device}")
        self.journal.add(LateWrite, device, "read", status == 200)

    def _event(self, event: str, payload: Any, reply: Reply | None) -> None:
        """Take no notice: what was deleted shows by itself."""
