"""One simulation: people and faults by seed for some seconds, then quiet, then the evidence."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import logging
import random
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest import mock
from urllib.parse import quote

from chaos import choices
from chaos.evidence import Evidence, _read_redis, documented_keys
from chaos.faults.fault import Fault
from chaos.journal import FaultEnded, Journal
from chaos.people.brief import Brief
from chaos.people.crowd import Person
from chaos.people.dashboards import Dashboard
from chaos.people.devices import Device
from chaos.people.editors import Editor
from chaos.people.guards import Guard
from chaos.people.operators import Operator
from chaos.people.small_devices import SmallDevice
from chaos.people.visitors import Visitor
from chaos.plan import Planned, make_plan
from chaos.proxy import Line
from chaos.simulation import primitives
from chaos.simulation.checks import judge
from chaos.simulation.course import Course
from chaos.simulation.system import SETTINGS, SimulatedSystem
from chaos.system import System
from service.live.fanout import groups

#: A device that has nothing to say.
NEVER_S = 1e6
#: How long Redis is away when the devices leave: longer than a call is repeated, shorter than a lease.
OUTAGE_S = 1.8
#: So long everything takes at most to come to its end: a device may be away before it is sent a command again.
PATIENCE_S = 60.0
#: No seed takes longer.
LONGEST_S = 600.0
#: The device that says nothing, and stays.
QUIET = "quiet"
#: How long a connection lasts that nothing ends: a command that was not acknowledged waits for the next one.
STAYS_S = (3.0, 12.0)
#: Who is in some seeds.
GUESTS = ["small", QUIET, "guard", "brief", "visitor"]
#: Above this a dashboard gets only the latest, until it has read so far; a simulation has little traffic.
SLOW_BYTES, CAUGHT_UP_BYTES = 2048, 512
#: The findings of a seed that does not become quiet.
COMES_TO_ITS_END = "the simulation comes to its end"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed.

    Attributes:
        findings: Promise → what is wrong.
        order: Digest of who went on when: the same whenever this seed is repeated.
        simulated_s: How long it was for those in it.
        cpu_s: How long it took.
    """

    seed: int
    findings: dict[str, list[str]]
    order: int
    steps: int
    simulated_s: float
    cpu_s: float
    evidence: Evidence

    @property
    def failed(self) -> bool:
        """Return whether a promise does not hold."""
        return any(self.findings.values())


def simulate(seed: int, seconds: float, faults: list[Fault]) -> Outcome:
    """Simulate a seed.

    Args:
        seed: Decides everything.
        seconds: For how long faults begin.
        faults: What to choose from.
    """
    began = time.process_time()
    gc.collect()
    gc.disable()  # when it runs is not the seed's choice
    if not gc.get_freeze_count():
        gc.freeze()  # what was imported is not looked through before every seed
    try:
        world = World(seed, seconds, faults)
        evidence, trouble = world.run()
        findings = judge(evidence, world.course)
        findings[COMES_TO_ITS_END] = [trouble] if trouble else []
        scheduler = world.system.scheduler
        return Outcome(
            seed,
            findings,
            scheduler.order,
            scheduler.steps,
            scheduler.now - 1000.0,
            time.process_time() - began,
            evidence,
        )
    finally:
        gc.enable()


class World:
    """The people of a seed and their service."""

    def __init__(self, seed: int, seconds: float, faults: list[Fault]) -> None:
        chance = random.Random(f"{seed}/size")
        self.seconds = seconds
        self.system = SimulatedSystem(
            seed, nodes=chance.choice([2, 2, 3]), partitions=chance.choice([1, 1, 2])
        )
        primitives.run(self.system.scheduler)
        self.journal = Journal()
        self.plan = make_plan(seed, seconds, faults) if faults else []
        system = cast("System", self.system)  # people and faults need no more of it
        self.devices: list[Person] = []
        self.others: list[Person] = []
        self.dashboards: list[Dashboard] = []
        self._invite(seed, chance, system)
        self.course = Course(time.time())
        self._errors = ErrorLines()

    def _invite(self, seed: int, chance: random.Random, system: System) -> None:
        """Make the people: some are in every seed, others in some, so that a seed stays quick."""
        ids = [f"device-{n}" for n in range(chance.randint(2, 3))]
        about = (seed, system, self.journal)
        names = [*((name, name) for name in ids), (f"{ids[0]}-rival", ids[0]), ("silent", ids[1])]
        devices = [Device(name, device, *about) for name, device in names]
        for device in devices:
            device.stays_s = STAYS_S
        devices[-1].every_s = NEVER_S  # so it learns only from the service that it lost its id
        self.devices += devices
        guests = chance.sample(GUESTS, 2)
        commanded = list(ids)
        if "small" in guests:
            self.devices.append(SmallDevice("small", *about))
            commanded.append("small")
        if QUIET in guests:
            quiet = Device(QUIET, QUIET, *about)
            quiet.every_s, quiet.stays_s = NEVER_S, (NEVER_S, NEVER_S)
            self.devices.append(quiet)
        self.others += [
            Operator("operator", commanded, *about),
            *(Editor(f"editor-{n}", ids[:2], *about) for n in range(2)),
            *([Guard("guard", commanded, *about)] if "guard" in guests else []),
            *([Brief("brief", *about)] if "brief" in guests else []),
            *([Visitor("visitor", ids, *about)] if "visitor" in guests else []),
        ]
        choice = choices.draw(chance, ids, [name for name, _ in names])
        self.dashboards += [
            Dashboard("dashboard-0", *about),
            Dashboard("dashboard-1", *about, choice if chance.random() < 0.7 else None),
        ]

    def run(self) -> tuple[Evidence, str]:
        """Do the whole of it; return the evidence, and why it did not come to its end."""
        system, scheduler = self.system, self.system.scheduler
        done: list[tuple[Evidence, str]] = []
        logging.getLogger().addHandler(self._errors)
        slow = mock.patch.multiple(groups, SLOW_BYTES=SLOW_BYTES, CAUGHT_UP_BYTES=CAUGHT_UP_BYTES)
        slow.start()
        try:
            scheduler.spawn(system.people, lambda: done.append(self._live()))
            scheduler.run_until(lambda: bool(done) or self.journal.now > LONGEST_S)
            return done[0] if done else (Evidence(self.journal.entries), "it does not end")
        except RuntimeError as error:  # the scheduler's
            return Evidence(self.journal.entries), str(error)
        finally:
            scheduler.end()
            slow.stop()
            logging.getLogger().removeHandler(self._errors)
            primitives.run(None)

    def _live(self) -> tuple[Evidence, str]:
        evidence, trouble = Evidence(self.journal.entries), ""
        try:
            self.system.loop.run_until_complete(self._whole(evidence))
        except TimeoutError as error:
            trouble = str(error) or traceback.format_exc()
        except Exception:  # noqa: BLE001  reported as what is wrong with this seed
            trouble = traceback.format_exc()
        evidence.logs = {"nodes": self._errors.lines}
        return evidence, trouble

    async def _whole(self, evidence: Evidence) -> None:
        await self.system.start()
        people: list[Person] = [*self.devices, *self.dashboards, *self.others]
        tasks = [asyncio.create_task(person.run(), name=person.name) for person in people]
        try:
            await self._cause_faults()
            await self.system.ready()
            await self._finish(tasks, evidence)
            evidence.views = {one.name: one.view for one in self.dashboards}
            await self._collect(evidence)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.system.stop()

    async def _cause_faults(self) -> None:
        began = self.system.scheduler.now
        async with asyncio.TaskGroup() as group:
            for planned in self.plan:
                await asyncio.sleep(began + planned.at_s - self.system.scheduler.now)
                group.create_task(self._cause(planned))
            await asyncio.sleep(began + self.seconds - self.system.scheduler.now)

    async def _cause(self, planned: Planned) -> None:
        fault, began = planned.fault, self.journal.now
        target = await fault.do(cast("System", self.system), random.Random(planned.chance))
        self.journal.add(FaultEnded, fault.name, target)
        self.course.add(fault.name, began, self.journal.now)

    async def _finish(self, tasks: list[asyncio.Task[None]], evidence: Evidence) -> None:
        named = {task.get_name(): task for task in tasks}
        await self._end(self.others, named)
        await self._until(lambda rows: not any(r["open_commands"] for r in rows), "commands ended")
        evidence.ttl_s = SETTINGS["sessions.ttl_s"]
        evidence.held_ttls = await asyncio.to_thread(self._ttls_of_quiet)
        leaving = asyncio.create_task(self._end(list(self.devices), named))
        await self._cut_redis_off()  # while they leave
        await leaving
        await self._until(
            lambda rows: all(r["state"] == "inactive" and not r["active_clients"] for r in rows),
            "devices gone",
        )
        await self._until(self._views_agree, "dashboards agree", must=False)
        for dashboard in self.dashboards:
            dashboard.stop()
        await self._end(list(self.dashboards), named)

    def _ttls_of_quiet(self) -> dict[str, int]:
        client: Any = self.system.client
        return {key: client.pttl(key) for key in sorted(client.scan_iter(f"*:{QUIET}"))}

    async def _cut_redis_off(self) -> None:
        await asyncio.sleep(0.4)
        began = self.journal.now
        for node in self.system.nodes:
            node.redis.line = Line(refuses=True)
            node.redis.cut()
        await asyncio.sleep(OUTAGE_S)
        for node in self.system.nodes:
            node.redis.heal()
        self.course.add("redis cut off", began, self.journal.now)

    async def _end(self, people: list[Person], named: dict[str, asyncio.Task[None]]) -> None:
        for person in people:
            person.finishing = True
        async with asyncio.timeout(60):
            await asyncio.gather(*(named[person.name] for person in people))

    async def _until(
        self, holds: Callable[[list[dict[str, Any]]], bool], what: str, *, must: bool = True
    ) -> None:
        rows: list[dict[str, Any]] = []
        until = self.system.scheduler.now + PATIENCE_S
        while self.system.scheduler.now < until:
            with contextlib.suppress(OSError):
                rows = await self._summaries()
                if holds(rows):
                    return
            await asyncio.sleep(0.25)
        if must:
            raise TimeoutError(f"not {what} within {PATIENCE_S:.0f} s: {rows[:3]}")

    def _views_agree(self, rows: list[dict[str, Any]]) -> bool:
        return all(
            {name: row["state"] for name, row in one.view.items()}
            == {row["session_id"]: row["state"] for row in rows if choices.sees(one.choice, row)}
            for one in self.dashboards
        )

    async def _get(self, path: str) -> Any:
        status, answer, _ = await self.system.ask(self.system.nodes[0].own_port, "GET", path)
        if status != 200:
            raise OSError(f"GET {path}: {status} {answer}")
        return answer

    async def _summaries(self) -> list[dict[str, Any]]:
        answer = await self._get("/api/v1/sessions?state=all&limit=500")
        return list(answer["sessions"])

    async def _collect(self, evidence: Evidence) -> None:
        evidence.summaries = {row["session_id"]: row for row in await self._summaries()}
        for session_id in evidence.summaries:
            path = f"/api/v1/sessions/{quote(session_id, safe='')}"
            evidence.sessions[session_id] = await self._get(path)
            evidence.commands[session_id] = (await self._get(f"{path}/commands"))["commands"]
        await asyncio.to_thread(_read_redis, evidence, cast("System", self.system))
        evidence.patterns = documented_keys(PAGE)


#: Says which keys there are.
PAGE = Path(__file__).parents[2] / "docs" / "redis.md"


class ErrorLines(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        line = {"level": "error", "event": record.getMessage()}
        if record.exc_info:
            line["exception"] = self._formatter.formatException(record.exc_info)
        self.lines.append(json.dumps(line))
