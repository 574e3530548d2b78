"""One run: people, faults, quiet, evidence."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import time
from pathlib import Path

from chaos.evidence import Evidence, all_summaries, collect
from chaos.faults.fault import Fault
from chaos.journal import FaultBegan, FaultEnded, Journal
from chaos.people.crowd import Person
from chaos.people.dashboards import Dashboard
from chaos.people.devices import Device
from chaos.people.editors import Editor
from chaos.people.operators import Operator
from chaos.plan import Planned, make_plan
from chaos.system import System


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """How many of everything a run has."""

    nodes: int = 3
    workers: int = 2
    devices: int = 16
    rivals: int = 2  #: ids for which two devices fight
    dashboards: int = 3
    operators: int = 2
    editors: int = 3


class Run:
    """A run of one seed.

    Args:
        folder: For everything that it leaves; empty.
    """

    def __init__(
        self, folder: Path, seed: int, seconds: float, faults: list[Fault], size: Size
    ) -> None:
        self.seed = seed
        self.seconds = seconds
        self.system = System(folder, nodes=size.nodes, workers=size.workers)
        self.journal = Journal()
        self.plan = make_plan(seed, seconds, faults)
        ids = [f"device-{n}" for n in range(size.devices)]
        names = [
            *((name, name) for name in ids),
            *((f"{name}-rival", name) for name in ids[: size.rivals]),
        ]
        self.devices = [Device(n, i, seed, self.system, self.journal) for n, i in names]
        self.dashboards = [
            Dashboard(f"dashboard-{n}", seed, self.system, self.journal)
            for n in range(size.dashboards)
        ]
        self.others: list[Person] = [
            *(
                Operator(f"operator-{n}", ids, seed, self.system, self.journal)
                for n in range(size.operators)
            ),
            *(
                Editor(f"editor-{n}", ids[:4], seed, self.system, self.journal)
                for n in range(size.editors)
            ),
        ]

    async def __call__(self) -> Evidence:
        """Do the whole run; nothing that it started is left, whatever happens."""
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.system.start()
            people: list[Person] = [*self.devices, *self.dashboards, *self.others]
            tasks = [asyncio.create_task(person.run(), name=person.name) for person in people]
            await self._cause_faults()
            await self.system.ready()
            await self._finish(tasks)
            evidence = Evidence(self.journal.entries)
            evidence.views = {one.name: one.view for one in self.dashboards}
            kinds = {planned.fault.name: planned.fault for planned in self.plan}
            evidence.explained = tuple(one for fault in kinds.values() for one in fault.logged)
            await collect(evidence, self.system)
            return evidence
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.journal.write(self.system.folder / "journal.jsonl")
            await self.system.stop()

    async def _cause_faults(self) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for planned in self.plan:
                await asyncio.sleep(max(0.0, began + planned.at_s - time.monotonic()))
                group.create_task(self._cause(planned))
            await asyncio.sleep(max(0.0, began + self.seconds - time.monotonic()))

    async def _cause(self, planned: Planned) -> None:
        fault = planned.fault
        self.journal.add(FaultBegan, fault.name, "", fault.loses_data)
        target = await fault.do(self.system, random.Random(planned.chance))
        self.journal.add(FaultEnded, fault.name, target)

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Let everybody end what was begun, then wait until the service has nothing left to do."""
        named = {task.get_name(): task for task in tasks}
        await self._end(self.others, named, 60)
        await self._until(
            lambda rows: not any(row["open_commands"] for row in rows), 60, "commands ended"
        )
        await self._end(list(self.devices), named, 90)
        await self._until(
            lambda rows: all(row["state"] == "archived" for row in rows), 60, "sessions archived"
        )
        await self._until(lambda rows: self._views_agree(rows), 30, "dashboards agree", must=False)
        for dashboard in self.dashboards:
            dashboard.stop()
        await asyncio.wait_for(asyncio.gather(*(named[d.name] for d in self.dashboards)), 30)

    async def _end(
        self, people: list[Person], named: dict[str, asyncio.Task[None]], within_s: float
    ) -> None:
        for person in people:
            person.finishing = True
        async with asyncio.timeout(within_s):
            await asyncio.gather(*(named[person.name] for person in people))

    async def _until(self, holds, within_s: float, what: str, *, must: bool = True) -> None:  # type: ignore[no-untyped-def]
        port, until = self.system.nodes[0].own_port, time.monotonic() + within_s
        rows: list[dict[str, object]] = []
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                rows = await asyncio.to_thread(all_summaries, port)
                if holds(rows):
                    return
            await asyncio.sleep(0.25)
        if must:
            raise TimeoutError(f"not {what} within {within_s:.0f} s: {rows[:3]}")

    def _views_agree(self, rows: list[dict[str, object]]) -> bool:
        states = {row["session_id"]: row["state"] for row in rows}
        return all(
            states.get(name) == row["state"]
            for one in self.dashboards
            for name, row in one.view.items()
        )
