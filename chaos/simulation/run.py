"""One simulation: people and faults by seed for some seconds, then quiet, then the evidence."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
import random
import time
import traceback
from typing import cast
from unittest import mock

from chaos.evidence import Evidence
from chaos.faults.fault import Fault
from chaos.journal import FaultEnded, Journal
from chaos.plan import Planned, make_plan
from chaos.simulation import primitives
from chaos.simulation.checks import judge
from chaos.simulation.checks.course import Course
from chaos.simulation.ending import Ending
from chaos.simulation.invited import invite
from chaos.simulation.system import SimulatedSystem
from chaos.system import System
from service.live.fanout import groups

#: No seed takes longer.
LONGEST_S = 600.0
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
        self.people = invite(seed, chance, system, self.journal)
        self.course = Course(time.time())
        self._errors = ErrorLines()

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
        people = self.people.all
        tasks = [asyncio.create_task(person.run(), name=person.name) for person in people]
        end = Ending(self.system, self.journal, self.people, self.course, evidence)
        try:
            await self._cause_faults()
            await self.system.ready()
            await end(tasks)
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
