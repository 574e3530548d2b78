"""One run: people, faults, quiet, evidence."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaos import choices
from chaos.checks import leftovers
from chaos.checks.commands import uncertain_ones
from chaos.evidence import JOURNAL, Evidence, all_summaries, collect, held
from chaos.faults import clock, explained_by
from chaos.faults.fault import Fault
from chaos.journal import FaultBegan, FaultEnded
from chaos.people.archivists import Archivist
from chaos.people.brief import Brief
from chaos.people.crowd import Person
from chaos.people.dashboards import Dashboard
from chaos.people.devices import Device
from chaos.people.editors import Editor
from chaos.people.foremen import Foreman
from chaos.people.guards import Guard
from chaos.people.operators import Operator
from chaos.people.small_devices import SmallDevice
from chaos.people.visitors import Visitor
from chaos.plan import Planned, make_plan
from chaos.system import System


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """How many of everything a run has."""

    nodes: int = 3
    workers: int = 2
    devices: int = 16
    rivals: int = 2  #: ids for which two devices fight
    small_devices: int = 2  #: without a socket
    dashboards: int = 2
    choosy: int = 3  #: dashboards that choose what they see
    operators: int = 2
    editors: int = 3
    crowd: int = 500  #: sockets of a storm


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
        self.system = System(folder, nodes=size.nodes, workers=size.workers, crowd=size.crowd)
        self.journal = self.system.journal
        self.unfinished: list[str] = []
        self.plan = make_plan(seed, seconds, faults)
        ids = [f"device-{n}" for n in range(size.devices)]
        names = [
            *((name, name) for name in ids),
            *((f"{name}-rival", name) for name in ids[: size.rivals]),
        ]
        about = (seed, self.system, self.journal)
        small = [SmallDevice(f"small-{n}", *about) for n in range(size.small_devices)]
        self.devices: list[Person] = [*(Device(n, i, *about) for n, i in names), *small]
        chance = random.Random(f"{seed}/choices")
        drawn = [choices.draw(chance, ids, [name for name, _ in names]) for _ in range(size.choosy)]
        self.dashboards = [
            Dashboard(f"dashboard-{n}", *about, choice)
            for n, choice in enumerate([*[None] * size.dashboards, *drawn])
        ]
        commanded = [*ids, *(one.device_id for one in small)]
        self.operators = [
            Operator(f"operator-{n}", commanded, *about) for n in range(size.operators)
        ]
        self.others: list[Person] = [
            *self.operators,
            *(Editor(f"editor-{n}", ids[:4], *about) for n in range(size.editors)),
            *(Guard("guard", commanded, *about), Visitor("visitor", ids, *about)),
            Archivist("archivist", commanded, *about),
            *(Brief("brief", *about), Foreman("foreman", commanded, *about)),
        ]

    async def __call__(self) -> Evidence:
        """Do the whole run; nothing that it started is left, whatever happens, SIGTERM included."""
        self._end_at_sigterm()
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.system.start()
            before = await asyncio.to_thread(held, self.system)
            people: list[Person] = [*self.devices, *self.dashboards, *self.others]
            tasks = [asyncio.create_task(person.run(), name=person.name) for person in people]
            tasks.append(asyncio.create_task(self.system.supervise(), name="supervisor"))
            await self._cause_faults()
            await self.system.ready()
            await self._finish(tasks)
            evidence = Evidence(self.journal.entries)
            evidence.unfinished = self.unfinished
            evidence.views = {one.name: one.view for one in self.dashboards}
            evidence.explained = explained_by(evidence)
            await collect(evidence, self.system)
            await self._wait_for_the_rest(evidence, before)
            evidence.write(self.system.folder)
            return evidence
        finally:
            while tasks:  # a `wait_for` that ends in the same moment takes a cancellation along
                for task in tasks:
                    task.cancel()
                _, left = await asyncio.wait(tasks, timeout=1)
                tasks = list(left)
            self.journal.write(self.system.folder / JOURNAL)
            await self.system.stop()

    def _end_at_sigterm(self) -> None:
        """Let the first SIGTERM end the run, and no other one its end: what it started would be left."""
        mine = asyncio.current_task()
        assert mine is not None
        cancel = mine.cancel
        is_ending = False

        def end() -> None:
            nonlocal is_ending
            if not is_ending:
                is_ending = True
                cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)

    async def _cause_faults(self) -> None:
        """Cause all faults of the plan; while one is alone, the plan's time stands still."""
        began, going = time.monotonic(), set[asyncio.Task[None]]()
        async with asyncio.TaskGroup() as group:
            for planned in self.plan:
                await asyncio.sleep(max(0.0, began + planned.at_s - time.monotonic()))
                if planned.fault.alone:
                    stopped = time.monotonic()
                    await asyncio.gather(*going)
                    await self._cause(planned)
                    began += time.monotonic() - stopped
                else:
                    going = {task for task in going if not task.done()}
                    going.add(group.create_task(self._cause(planned)))
            await asyncio.sleep(max(0.0, began + self.seconds - time.monotonic()))

    async def _cause(self, planned: Planned) -> None:
        fault = planned.fault
        self.journal.add(FaultBegan, fault.name, "")
        try:
            target = await fault.do(self.system, random.Random(planned.chance))
        except Exception as error:  # noqa: BLE001  the others go their way
            target = f"failed: {error!r}"
            self.unfinished.append(f"the fault {fault.name} {target}")
        self.journal.add(FaultEnded, fault.name, target)

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Let everybody end what was begun, then wait until the service has nothing left to do."""
        named = {task.get_name(): task for task in tasks}
        await self._end(self.others, named, 60)
        await self.operators[0].cancel_delivered(uncertain_ones(Evidence(self.journal.entries)))
        await self._until(
            lambda rows: [row for row in rows if row["open_commands"]],
            120 + clock.LONGEST_S,  # devices that are away come back, and deadlines pass
            "all commands ended",
        )
        await self._end(list(self.devices), named, 90 + clock.LONGEST_S)
        await self._until(
            lambda rows: [row for row in rows if row["state"] != "archived"],
            60 + clock.LONGEST_S,
            "all sessions archived",
        )
        await self._until(self._shown_otherwise, 30, "all dashboards up to date")
        for dashboard in self.dashboards:
            dashboard.stop()
        await self._end(list(self.dashboards), named, 30)

    async def _wait_for_the_rest(
        self, evidence: Evidence, before: dict[str, dict[str, float]]
    ) -> None:
        """Give the service a while to forget those who have left."""
        until = time.monotonic() + 30
        while True:
            after = await asyncio.to_thread(held, self.system)
            evidence.leftovers = {
                process: {name: (had, after[process][name]) for name, had in amounts.items()}
                for process, amounts in before.items()
            }
            if not leftovers.none(evidence) or time.monotonic() > until:
                return
            await asyncio.sleep(0.5)

    async def _end(
        self, people: Sequence[Person], named: dict[str, asyncio.Task[None]], within_s: float
    ) -> None:
        for person in people:
            person.finishing = True
        mine = [named[person.name] for person in people]
        _, open_ones = await asyncio.wait(mine, timeout=within_s)
        self.unfinished += [f"{t.get_name()} did not end in {within_s:.0f} s" for t in open_ones]
        for task in mine:
            if task not in open_ones:
                task.result()  # what went wrong in it goes wrong here

    async def _until(
        self,
        left: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
        within_s: float,
        what: str,
    ) -> None:
        """Wait until no session is `left`."""
        port, until = self.system.nodes[0].own_port, time.monotonic() + within_s
        rows: list[dict[str, Any]] = []
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                rows = left(await asyncio.to_thread(all_summaries, port))
                if not rows:
                    return
            await asyncio.sleep(0.25)
        some = [{name: value for name, value in row.items() if value} for row in rows[:3]]
        self.unfinished.append(f"not {what} within {within_s:.0f} s: {some}")

    def _shown_otherwise(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        states = {row["session_id"]: row["state"] for row in rows}
        return [
            {"dashboard": one.name, **row}
            for one in self.dashboards
            for name, row in one.view.items()
            if states.get(name) != row["state"]
        ]
