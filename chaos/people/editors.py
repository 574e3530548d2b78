"""Editors who change setups at the same time, each on the version that it has seen, and go back and forth."""

from __future__ import annotations

import asyncio
from typing import Any

from chaos.people.crowd import Caller
from chaos.wishes import Put, PutTaken


class Editor(Caller):
    """Puts whole documents over REST; two editors share each of a few devices."""

    pauses_s = (0.3, 2.0)

    async def act(self) -> None:
        """Make one change."""
        device = self.any_device()
        path = f"/api/v1/sessions/{device}/setup"
        try:
            status, answer, headers = await self.ask("GET", path)
        except OSError:
            return
        if status != 200:
            self.refused("setup", answer)
            return
        version = int(headers["etag"].strip('"'))
        await self.pause(0.0, 0.3)
        mark = f"{self.name}-{self.next_number()}"
        condition = {"If-Match": headers["etag"]} if self.chance.random() < 0.8 else {}
        how = self.chance.choice(["PUT", "PUT", "PUT", "PATCH", "undo", "redo"])
        step = how if how in ("undo", "redo") else ""
        self.journal.add(Put, self.name, device, mark, version if condition else None, step)
        method, path = ("POST", f"{path}/{step}") if step else (how, path)
        document = {"setup": {"mark": mark}} if how == "PUT" else {"mark": mark}
        try:
            status, answer, headers = await self.ask(
                method, path, None if step else document, condition
            )
        except OSError:
            return
        if status == 200:
            self.journal.add(
                PutTaken, self.name, device, mark, answer["setup_version"], _mark(answer)
            )
        else:
            self.refused("setup", answer)
            await asyncio.sleep(0.2)


def _mark(answer: dict[str, Any]) -> str | None:
    setup = answer.get("setup")
    return setup.get("mark") if isinstance(setup, dict) else None
