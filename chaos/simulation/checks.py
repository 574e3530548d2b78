"""Promises with a time, which a simulation can hold exactly: nothing but its faults delays anything."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise

from chaos.checks import ALL
from chaos.evidence import Evidence
from chaos.journal import Lost, OrderTaken, Received, Registered

#: The promises that a simulation says nothing about: it has no archive.
NOT_HERE = frozenset({"the archive is whole"})
#: So long after a fault its consequences are over: a lease has run out, and everybody is back; …
AFTERMATH_S = 8.0
#: … and after these, which break nothing.
SHORT_S = {"messages lost": 0.0, "scripts forgotten": 0.5, "people narrow": 2.0}
#: So long after its beginning everything has begun.
START_S = 1.0
#: In calm a socket that lost its session is closed within this …
TOLD_S = 3.0
#: … and a command is at a connected device: a renewal, and the call that takes it.
REACHED_S = 4.0


@dataclasses.dataclass(slots=True)
class Course:
    """What happened when.

    Attributes:
        epoch_s: The journal's beginning, seconds since 1970.
        faults: Beginning of each, and end of its consequences, by the journal.
    """

    epoch_s: float
    faults: list[tuple[float, float]] = dataclasses.field(default_factory=lambda: [(0.0, START_S)])

    def add(self, fault: str, began: float, ended: float) -> None:
        """Note a fault that is over."""
        self.faults.append((began, ended + SHORT_S.get(fault, AFTERMATH_S)))

    def is_calm(self, since: float, until: float) -> bool:
        """Return whether no fault explains what happens, or does not, in this time."""
        return all(over < since or began > until for began, over in self.faults)

    def calm_from(self, since: float) -> float:
        """Return the first moment from then on at which no fault explains anything."""
        for began, over in sorted(self.faults):
            if began <= since <= over:
                since = over
        return since + 0.001


@dataclasses.dataclass(frozen=True, slots=True)
class Stay:
    """A device's connection, from its register to its end."""

    sender: str
    began: float
    ended: float


def judge(evidence: Evidence, course: Course) -> dict[str, list[str]]:
    """Return what is wrong, by promise."""
    timed: dict[str, Callable[[Evidence, Course], list[str]]] = {
        "who lost its session is told": closed,
        "commands reach a connected device": reached,
        "connected devices stay active": active,
        "an order is one command": once,
    }
    return {
        **{name: check(evidence) for name, check in ALL.items() if name not in NOT_HERE},
        **{name: check(evidence, course) for name, check in timed.items()},
    }


def closed(evidence: Evidence, course: Course) -> list[str]:
    """Find sockets that stay open although another one has taken their session over."""
    return [
        f"{device}: {stay.sender} stays for {stay.ended - other.began:.1f} s after {other.sender} came"
        for device, stays in _stays(evidence).items()
        for stay, other in pairwise(stays)
        if stay.ended > other.began + TOLD_S and course.is_calm(other.began, other.began + TOLD_S)
    ]


def reached(evidence: Evidence, course: Course) -> list[str]:
    """Find commands that a connected device does not get."""
    got: dict[str, float] = {}
    for entry in evidence.of(Received):
        got.setdefault(entry.command_id, entry.at)
    taken: dict[str, OrderTaken] = {}
    for order in evidence.of(OrderTaken):
        taken.setdefault(order.command_id, order)
    found, stays = [], _stays(evidence)
    for order in taken.values():
        for stay, owned_until in _owned(stays[order.device]):
            since = course.calm_from(max(order.at, stay.began))
            until = since + REACHED_S
            if (
                owned_until > until
                and got.get(order.command_id, until + 1) > until
                and course.is_calm(since, until)
            ):
                found.append(
                    f"{order.device}: {order.key} did not reach {stay.sender} in {REACHED_S} s"
                )
    return found


def active(evidence: Evidence, course: Course) -> list[str]:
    """Find sessions that were taken from a node that lives."""
    return [
        f"{session}: lease_expired at {at:.1f}"
        for session, shown in evidence.sessions.items()
        for event in shown["timeline"]
        if event["event"] == "lease_expired"
        and course.is_calm(
            at := datetime.fromisoformat(event["at"]).timestamp() - course.epoch_s, at
        )
    ]


def once(evidence: Evidence, course: Course) -> list[str]:
    """Find orders that arrive as two commands; there is but one operator, who numbers them."""
    ids: dict[tuple[str, int], set[str]] = defaultdict(set)
    for entry in evidence.of(Received):
        ids[entry.device, entry.number].add(entry.command_id)
    return [
        f"{device}: order {number} came as {sorted(names)}"
        for (device, number), names in ids.items()
        if len(names) > 1
    ]


def _stays(evidence: Evidence) -> dict[str, list[Stay]]:
    begun: dict[str, Registered] = {}
    stays: dict[str, list[Stay]] = defaultdict(list)
    for entry in evidence.entries:
        if isinstance(entry, Registered):
            begun[entry.sender] = entry
        elif isinstance(entry, Lost) and (came := begun.pop(entry.who, None)) is not None:
            stays[came.device].append(Stay(entry.who, came.at, entry.at))
    for of_device in stays.values():
        of_device.sort(key=lambda stay: stay.began)
    return stays


def _owned(stays: list[Stay]) -> Iterator[tuple[Stay, float]]:
    """Yield each stay, and until when no other client had registered."""
    for stay in stays:
        others = (other.began for other in stays if other.began > stay.began)
        yield stay, min(stay.ended, *others, float("inf"))
