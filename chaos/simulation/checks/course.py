"""What happened when: faults and their consequences, and who was connected."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator

from chaos.evidence import Evidence
from chaos.journal import Lost, Registered

#: Breaks nothing: messages between nodes are hints.
MESSAGES = "messages lost"
#: So long after a fault its consequences are over: a lease has run out, and everybody is back; …
AFTERMATH_S = 8.0
#: … and after these, which break nothing.
SHORT_S = {MESSAGES: 0.0, "scripts forgotten": 0.5, "people narrow": 2.0}
#: So long after its beginning everything has begun.
START_S = 1.0


@dataclasses.dataclass(slots=True)
class Course:
    """What happened when.

    Attributes:
        epoch_s: The journal's beginning, seconds since 1970.
        faults: Beginning of each, and end of its consequences, by the journal.
        silences: Those in which messages between nodes were lost.
    """

    epoch_s: float
    faults: list[tuple[float, float]] = dataclasses.field(default_factory=lambda: [(0.0, START_S)])
    silences: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def add(self, fault: str, began: float, ended: float) -> None:
        """Note a fault that is over."""
        times = (began, ended + SHORT_S.get(fault, AFTERMATH_S))
        self.faults.append(times)
        if fault == MESSAGES:
            self.silences.append(times)

    def is_calm(self, since: float, until: float) -> bool:
        """Return whether no fault explains what happens, or does not, in this time."""
        return _is_clear(self.faults, since, until)

    def is_whole(self, since: float, until: float) -> bool:
        """Return whether nothing happens in this time but that nodes do not hear of each other, which ends nothing."""
        others = [times for times in self.faults if times not in self.silences]
        return _is_clear(others, since, until)

    def calm_from(self, since: float) -> float:
        """Return the first moment from then on at which no fault explains anything."""
        for began, over in sorted(self.faults):
            if began <= since <= over:
                since = over
        return since + 0.001


def _is_clear(faults: list[tuple[float, float]], since: float, until: float) -> bool:
    return all(over < since or began > until for began, over in faults)


@dataclasses.dataclass(frozen=True, slots=True)
class Stay:
    """A device's connection, from its register to its end."""

    sender: str
    began: float
    ended: float
    asked_at: float  #: when it asked to register
    generation: int


def stays_of(evidence: Evidence) -> dict[str, list[Stay]]:
    """Return the connections of each device, in the order of their beginning."""
    begun: dict[str, Registered] = {}
    stays: dict[str, list[Stay]] = defaultdict(list)
    for entry in evidence.entries:
        if isinstance(entry, Registered):
            begun[entry.sender] = entry
        elif isinstance(entry, Lost) and (came := begun.pop(entry.who, None)) is not None:
            stays[came.device].append(
                Stay(entry.who, came.at, entry.at, came.asked_at, came.generation)
            )
    for of_device in stays.values():
        of_device.sort(key=lambda stay: stay.began)
    return stays


def owner_through(stays: list[Stay], since: float, until: float) -> Stay | None:
    """Return the connection that was the owner during all of this time, if there was one."""
    for stay, owned_until in owned(stays):
        if stay.began <= since and owned_until >= until:
            return stay
    return None


def owned(stays: list[Stay]) -> Iterator[tuple[Stay, float]]:
    """Yield each stay, and until when no other client had registered."""
    for stay in stays:
        others = (other.began for other in stays if other.began > stay.began)
        yield stay, min(stay.ended, *others, float("inf"))
