"""The end of a seed: people end what they began, the service comes to rest, and the evidence is taken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from chaos import choices
from chaos.evidence import GONE, Evidence, _read_redis, documented_keys
from chaos.journal import Journal
from chaos.people.crowd import Person
from chaos.proxy import Line
from chaos.simulation.checks.course import Course
from chaos.simulation.invited import Invited
from chaos.simulation.system import SETTINGS, SimulatedSystem
from chaos.system import System

#: How long Redis is away when the devices leave: longer than a call is repeated, shorter than a lease.
OUTAGE_S = 1.8
#: So long people take at most to end what they began, …
PEOPLE_S = 60.0
#: … commands, for which a device may have to come again, …
COMMANDS_S = 60.0
#: … and what has left, until it is gone: less than the TTL of what would be left of it.
GONE_S = 20.0
#: Kinds of keys that a session has, and that live as long as it; docs/redis.md.
OF_SESSIONS = (
    *("session", "latest", "history", "setup", "undo", "redo", "commands", "commands_open"),
    *("commands_done", "timeline", "clients", "client_names"),
)
#: Says which keys there are.
PAGE = Path(__file__).parents[2] / "docs" / "redis.md"

Rows = list[dict[str, Any]]


class Ending:
    """Brings a seed to its end; what does not come to it is noted as unfinished, and judged all the same."""

    def __init__(
        self,
        system: SimulatedSystem,
        journal: Journal,
        people: Invited,
        course: Course,
        evidence: Evidence,
    ) -> None:
        self._system = system
        self._journal = journal
        self._people = people
        self._course = course
        self._evidence = evidence

    async def __call__(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """End all, and take the evidence.

        Args:
            tasks: In which the people run, by their names.
        """
        named, people, evidence = (
            {task.get_name(): task for task in tasks},
            self._people,
            self._evidence,
        )
        await self._end(people.others, named)
        await self._until(_no_open_commands, "all commands ended", COMMANDS_S)
        evidence.ttl_s = SETTINGS["sessions.ttl_s"]
        evidence.held_ttls = await asyncio.to_thread(self._ttls_of_active)
        evidence.held_at = self._journal.now
        leaving = asyncio.create_task(self._end(people.staying, named))
        await self._cut_redis_off()  # while they leave
        await leaving
        await self._until(_all_gone, "all devices and clients gone", GONE_S)
        await self._until(self._views_agree, "", GONE_S)
        for dashboard in people.dashboards:
            dashboard.stop()
        await self._end(people.dashboards, named)
        evidence.views = {one.name: one.view for one in people.dashboards}
        await self._collect()

    def _ttls_of_active(self) -> dict[str, int]:
        client: Any = self._system.client
        found: dict[str, int] = {}
        for partition in range(self._system.config.redis.partitions):
            tag = f"muster:{{{partition}}}:"
            active = set(client.zrange(tag + "active", 0, -1))
            for key in client.scan_iter(tag + "*"):
                kind, _, name = key.removeprefix(tag).partition(":")
                if kind in OF_SESSIONS and name.partition(":")[0] in active:
                    ttl_ms = client.pttl(key)
                    if ttl_ms != GONE:
                        found[key] = ttl_ms
        return found

    async def _cut_redis_off(self) -> None:
        await asyncio.sleep(0.4)
        began = self._journal.now
        for node in self._system.nodes:
            node.redis.line = Line(refuses=True)
            node.redis.cut()
        await asyncio.sleep(OUTAGE_S)
        for node in self._system.nodes:
            node.redis.heal()
        self._course.add("redis cut off", began, self._journal.now)

    async def _end(self, people: Sequence[Person], named: dict[str, asyncio.Task[None]]) -> None:
        for person in people:
            person.finishing = True
        mine = [named[person.name] for person in people]
        if not mine:
            return
        ended, others = await asyncio.wait(mine, timeout=PEOPLE_S)
        self._evidence.unfinished += sorted(
            f"{task.get_name()} did not end in {PEOPLE_S:.0f} s" for task in others
        )
        for task in mine:
            if task in ended:
                task.result()  # what went wrong in it goes wrong here

    async def _until(self, holds: Callable[[Rows], bool], what: str, within_s: float) -> None:
        """Wait until this holds; note it, if it is named, and does not."""
        rows: Rows = []
        until = self._system.scheduler.now + within_s
        while self._system.scheduler.now < until:
            with contextlib.suppress(OSError):
                rows = await self._summaries()
                if holds(rows):
                    return
            await asyncio.sleep(0.25)
        if what:
            self._evidence.unfinished.append(f"not {what} within {within_s:.0f} s: {rows[:3]}")

    def _views_agree(self, rows: Rows) -> bool:
        return all(
            {name: row["state"] for name, row in one.view.items()}
            == {row["session_id"]: row["state"] for row in rows if choices.sees(one.choice, row)}
            for one in self._people.dashboards
        )

    async def _get(self, path: str) -> Any:
        status, answer, _ = await self._system.ask(self._system.nodes[0].own_port, "GET", path)
        if status != 200:
            raise OSError(f"GET {path}: {status} {answer}")
        return answer

    async def _summaries(self) -> Rows:
        answer = await self._get("/api/v1/sessions?state=all&limit=500")
        return list(answer["sessions"])

    async def _collect(self) -> None:
        evidence = self._evidence
        evidence.summaries = {row["session_id"]: row for row in await self._summaries()}
        for session_id in evidence.summaries:
            path = f"/api/v1/sessions/{quote(session_id, safe='')}"
            evidence.sessions[session_id] = await self._get(path)
            evidence.commands[session_id] = (await self._get(f"{path}/commands"))["commands"]
        await asyncio.to_thread(_read_redis, evidence, cast("System", self._system))
        evidence.patterns = documented_keys(PAGE)


def _no_open_commands(rows: Rows) -> bool:
    return not any(row["open_commands"] for row in rows)


def _all_gone(rows: Rows) -> bool:
    return all(row["state"] == "inactive" and not row["active_clients"] for row in rows)
