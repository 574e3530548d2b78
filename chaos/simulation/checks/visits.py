"""People who have a session open: in calm each answer counts exactly those who are there."""

from __future__ import annotations

import dataclasses

from chaos.evidence import Evidence
from chaos.simulation.checks.course import Course
from chaos.wishes import JoinAsked, Joined, VisitOver

#: In calm a client whose socket has ended is not counted after this.
GONE_S = 2.0
NEVER = float("inf")


@dataclasses.dataclass(slots=True)
class Visit:
    """One client of a session: when it may be counted, and when it must be.

    Attributes:
        asked: When it was about to join.
        joined: When it was answered that it had.
        leaving: When it was about to leave.
        gone: When it cannot be counted any more.
    """

    device: str
    asked: float
    joined: float = NEVER
    leaving: float = NEVER
    gone: float = NEVER


def counted(evidence: Evidence, course: Course) -> list[str]:
    """Find answers that count other clients than there were."""
    visits = _visits(evidence)
    found = []
    for entry in evidence.of(Joined):
        if not course.is_calm(entry.asked_at - GONE_S, entry.at):
            continue
        others = [v for who, v in visits.items() if v.device == entry.device and who != entry.who]
        itself = 0 if entry.left else 1
        surely = itself + sum(v.joined < entry.asked_at and v.leaving > entry.at for v in others)
        maybe = itself + sum(v.asked < entry.at and v.gone > entry.asked_at for v in others)
        if not surely <= entry.clients <= maybe:
            wanted = f"{surely} to {maybe}"
            what = "left" if entry.left else "joined"
            found.append(
                f"{entry.who} {what} {entry.device}: {entry.clients} clients, and there were {wanted}"
            )
    return found


def _visits(evidence: Evidence) -> dict[str, Visit]:
    visits: dict[str, Visit] = {}
    for entry in evidence.entries:
        if isinstance(entry, JoinAsked):
            if entry.left:
                visits[entry.who].leaving = entry.at
            else:
                visits[entry.who] = Visit(entry.device, entry.at)
        elif isinstance(entry, Joined):
            if entry.left:
                visits[entry.who].gone = entry.at
            else:
                visits[entry.who].joined = entry.at
        elif isinstance(entry, VisitOver) and (visit := visits.get(entry.who)) is not None:
            visit.leaving = min(visit.leaving, entry.at)
            visit.gone = min(visit.gone, entry.at + GONE_S)
    return visits
