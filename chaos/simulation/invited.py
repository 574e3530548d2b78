"""The people of a seed: some are in every seed, others in some, so that a seed stays quick."""

from __future__ import annotations

import dataclasses
import random

from chaos import choices
from chaos.journal import Journal
from chaos.people.brief import Brief
from chaos.people.crowd import Person
from chaos.people.dashboards import Dashboard
from chaos.people.devices import Device
from chaos.people.editors import Editor
from chaos.people.guards import Guard
from chaos.people.operators import Operator
from chaos.people.small_devices import SmallDevice
from chaos.people.visitors import Visitor
from chaos.system import System

#: A device that has nothing to say.
NEVER_S = 1e6
#: How long a connection lasts that nothing ends: a command that was not acknowledged waits for the next one.
STAYS_S = (3.0, 12.0)
#: The device that says one thing, and stays.
QUIET = "quiet"
#: The device whose former sockets act on: what they say comes together with the next one's register.
STUBBORN = "stubborn"
#: Who is in some seeds: two of them.
GUESTS = ["small", QUIET, STUBBORN, "guard", "brief", "visitors"]


@dataclasses.dataclass(frozen=True, slots=True)
class Invited:
    """The people of a seed.

    Attributes:
        staying: Devices and visitors, who leave in the end.
        others: Who asks for something, until faults are over.
    """

    staying: list[Person]
    others: list[Person]
    dashboards: list[Dashboard]

    @property
    def all(self) -> list[Person]:
        """Return all of them."""
        return [*self.staying, *self.dashboards, *self.others]


def invite(seed: int, chance: random.Random, system: System, journal: Journal) -> Invited:
    """Make the people of a seed."""
    about = (seed, system, journal)
    ids = [f"device-{n}" for n in range(chance.randint(2, 3))]
    names = [*((name, name) for name in ids), (f"{ids[0]}-rival", ids[0]), ("silent", ids[1])]
    guests = chance.sample(GUESTS, 2)
    commanded = [*ids, *(name for name in ("small", STUBBORN) if name in guests)]
    others: list[Person] = [
        Operator("operator", commanded, *about),
        *(Editor(f"editor-{n}", ids[:2], *about) for n in range(2)),
    ]
    if "guard" in guests or "small" in guests:  # which is sent away as well
        others.append(Guard("guard", commanded, *about))
    if "brief" in guests:
        others.append(Brief("brief", *about))
    staying = _devices(names, guests, *about)
    if "visitors" in guests:  # two: each is to be counted while the other one comes and goes
        staying += [Visitor(f"visitor-{n}", ids[:2], *about) for n in range(2)]
    choice = choices.draw(chance, ids, [name for name, _ in names])
    if "brief" in guests:  # whose sessions move from project to project
        choice["scope"] = {"project_id": chance.choice(["red", "blue"])}
    dashboards = [
        Dashboard("dashboard-0", *about),
        Dashboard(
            "dashboard-1", *about, choice if chance.random() < 0.7 or "brief" in guests else None
        ),
    ]
    return Invited(staying, others, dashboards)


def _devices(
    names: list[tuple[str, str]], guests: list[str], seed: int, system: System, journal: Journal
) -> list[Person]:
    devices = [Device(name, device_id, seed, system, journal) for name, device_id in names]
    for device in devices:
        device.stays_s = STAYS_S
    devices[-1].every_s = NEVER_S  # so it learns only from the service that it lost its id
    if QUIET in guests:
        quiet = Device(QUIET, QUIET, seed, system, journal)
        quiet.every_s, quiet.stays_s = NEVER_S, (NEVER_S, NEVER_S)
        quiet.measure()
        devices.append(quiet)
    if STUBBORN in guests:
        stubborn = Device(STUBBORN, STUBBORN, seed, system, journal)
        stubborn.stays_s, stubborn.leaves_open, stubborn.rests = (1.5, 3.0), 0.7, 0.0
        devices.append(stubborn)
    small = [SmallDevice("small", seed, system, journal)] if "small" in guests else []
    return [*devices, *small]
