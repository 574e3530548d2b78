"""What comes to a connected device in calm: that it lost its session, its commands, and each order once."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from chaos.checks.commands import FINAL
from chaos.evidence import Evidence
from chaos.journal import CommandShown, Received
from chaos.simulation.checks.course import Course, owned, stays_of
from chaos.wishes import Answered, CancelAsked, Ordered, OrderTaken

#: In calm a socket that lost its session is closed within this …
TOLD_S = 3.0
#: … and a command is at a connected device: a renewal, and the call that takes it.
REACHED_S = 4.0


def closed(evidence: Evidence, course: Course) -> list[str]:
    """Find sockets that stay open although another one has taken their session over.

    Generations say which: two registers of one moment may be answered in the other order.
    """
    return [
        f"{device}: {stay.sender} stays for {stay.ended - other.began:.1f} s after {other.sender} came"
        for device, stays in stays_of(evidence).items()
        for stay, other in pairwise(sorted(stays, key=lambda stay: stay.generation))
        if stay.ended > other.began + TOLD_S and course.is_calm(other.began, other.began + TOLD_S)
    ]


def reached(evidence: Evidence, course: Course) -> list[str]:
    """Find commands that a connected device does not get, on each connection until it has acknowledged them."""
    got: dict[tuple[str, str, float], float] = {}
    for entry in evidence.of(Received):
        got.setdefault((entry.command_id, entry.who, entry.asked_at), entry.at)
    taken: dict[str, OrderTaken] = {}
    for order in evidence.of(OrderTaken):
        taken.setdefault(order.command_id, order)
    over = _over(evidence, taken)
    found, stays = [], stays_of(evidence)
    for order in taken.values():
        for stay, owned_until in owned(stays[order.device]):
            since = course.calm_from(max(order.at, stay.began))
            until = since + REACHED_S
            came_at = got.get((order.command_id, stay.sender, stay.asked_at), until + 1)
            if (
                owned_until > until
                and over.get(order.command_id, until + 1) > until
                and came_at > until
                and course.is_calm(since, until)
            ):
                found.append(
                    f"{order.device}: {order.key} did not reach {stay.sender} in {REACHED_S} s"
                )
    return found


def _over(evidence: Evidence, taken: dict[str, OrderTaken]) -> dict[str, float]:
    """Return from when on a command need not come any more: it was answered, or may have ended."""
    ttl_s = {(order.device, order.key): order.at + order.ttl_s for order in evidence.of(Ordered)}
    over = {name: ttl_s[order.device, order.key] for name, order in taken.items()}
    for entry in evidence.entries:
        if isinstance(entry, Answered | CancelAsked) or (
            isinstance(entry, CommandShown) and entry.status in FINAL
        ):
            over[entry.command_id] = min(over.get(entry.command_id, entry.at), entry.at)
    return over


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
