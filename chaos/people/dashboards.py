"""Dashboards that keep a cursor, by the recipe of docs/protocol.md."""

from __future__ import annotations

import asyncio
from typing import Any

from chaos.choices import Choice
from chaos.journal import Changed, CommandShown, Journal, MustWatchAgain, Shown, Watched
from chaos.people.crowd import Person
from chaos.socket import Reply, Socket, SocketLost
from chaos.system import System

#: A session whose samples are long and are not noted: they are there to fill buffers.
NOISE = "noise"


class Dashboard(Person):
    """Watches the fleet, or what it chooses, on one node after the other; `view` is what it knows.

    Args:
        choice: Fields of `register_vue`; without any the whole fleet, with all samples.
    """

    def __init__(
        self, name: str, seed: int, system: System, journal: Journal, choice: Choice | None = None
    ) -> None:
        super().__init__(name, seed, system, journal)
        self.choice = choice or {}
        self.view: dict[str, dict[str, Any]] = {}
        self._revs: dict[str, int] = {}  # without `batch` samples may come again
        self._cursor: str | None = None
        self._again = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Watch until `stop`."""
        while not self._stop.is_set():
            port, reason = self.any_port(), ""
            try:
                socket = await self.system.connect(port, self._event)
            except SocketLost:
                await self.pause(0.1, 0.5)
                continue
            try:
                await self._watch(socket)
            except SocketLost as error:
                reason = str(error)
            finally:
                socket.close("done", abruptly=self.chance.random() < 0.5)
                self.lost(port, reason or "done")
            await self.pause(0.05, 0.5)

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()
        self._again.set()

    async def _watch(self, socket: Socket) -> None:
        until = self.journal.now + self.chance.uniform(5, 30)
        await self._register(socket)
        while not self._stop.is_set() and not socket.closed.done():
            if not self.finishing and self.journal.now > until:
                return
            try:
                await asyncio.wait_for(self._again.wait(), 0.25)
            except TimeoutError:
                continue
            if not self._stop.is_set():
                await self._register(socket)

    async def _register(self, socket: Socket) -> None:
        self._again.clear()
        self._early: list[tuple[str, Any]] | None = []
        request: dict[str, Any] = {"batch": True, **self.choice}
        if self._cursor is not None:
            request["cursor"] = self._cursor
        sessions: dict[str, dict[str, Any]] = {}
        while True:
            answer = await socket.call("register_vue", request)
            if not answer["ok"]:
                self.refused("register_vue", answer["error"])
                raise SocketLost(answer["error"]["code"])
            for summary in [*answer["active"], *answer["inactive"]]:
                sessions[summary["session_id"]] = summary
            if not answer.get("next"):
                break
            request = {"page": answer["next"]}
        self._cursor = answer["cursor"]
        if not answer["recovered"]:
            self.view = sessions
            self._revs = {name: row["rev"] for name, row in sessions.items()}
        self.journal.add(Watched, self.name, answer["recovered"], sessions, self.choice)
        early, self._early = self._early, None
        for event, payload in early or []:
            self._take(event, payload)

    def _event(self, event: str, payload: Any, reply: Reply | None) -> None:
        if self._early is not None:
            self._early.append((event, payload))
        else:
            self._take(event, payload)

    _early: list[tuple[str, Any]] | None = None

    def _take(self, event: str, payload: Any) -> None:
        if event == "session_data_updates":
            conflated = bool(payload.get("conflated"))
            for session, rev, samples in payload["updates"]:
                if session == NOISE:
                    continue
                self.journal.add(Shown, self.name, session, rev, samples, conflated)
            self._cursor = payload.get("cursor") or self._cursor
        elif event == "session_data_key_update":
            session, rev = payload["session_id"], payload["rev"]
            if session != NOISE and rev > self._revs.get(session, -1):
                self._revs[session] = rev
                sample = [payload["key"], payload["value"], payload["ts"]]
                conflated = bool(payload.get("conflated"))
                self.journal.add(Shown, self.name, session, rev, [sample], conflated)
        elif event == "sessions_update":
            for session in payload["removed"]:
                self.view.pop(session, None)
            for summary in payload["changed"]:
                self.view[summary["session_id"]] = summary
            if payload["changed"] or payload["removed"]:
                self.journal.add(Changed, self.name, payload["changed"], payload["removed"])
            self._cursor = payload.get("cursor") or self._cursor
        elif event == "command_update":
            self.journal.add(CommandShown, self.name, payload["command_id"], payload["status"])
        elif event == "resync":
            self.journal.add(MustWatchAgain, self.name, payload["reason"])
            self._again.set()
