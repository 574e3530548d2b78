"""Pairs of runs that differ by one thing: commands that came over a former connection, and are read late."""

from __future__ import annotations

from typing import Any

from chaos.journal import Registered
from tests.unit.chaos.checks.edges_of_commands import got, placed, shows
from tests.unit.chaos.checks.edges_of_people import Pairs
from tests.unit.chaos.checks.faults_of_commands import added, both
from tests.unit.chaos.checks.sound import DEVICE, Plant

#: The connections of the sound run registered with generation 7, and 9.
FORMER: dict[str, Any] = {"asked_at": 0.9}
PRESENT: dict[str, Any] = {"asked_at": 6.95}
#: One between them, whose register was not answered.
UNANSWERED: dict[str, Any] = {"asked_at": 6.0}
#: One of another client with the same id.
RIVAL: dict[str, Any] = {"who": "rival", "asked_at": 8.0}


def rival(generation: int) -> Plant:
    return added(Registered(8.1, DEVICE, "rival", generation, 0, 0, True, False, 8.0))


def swapped(later: dict[str, Any], earlier: dict[str, Any]) -> Plant:
    """Of two orders the later one is there first; over which connections they came."""
    return both(
        placed("x", DEVICE, "anna", 7, "c7"),
        placed("y", DEVICE, "anna", 9, "c9"),
        got(9.2, "c9", 9, **later),
        got(9.3, "c7", 7, **earlier),
    )


def third(connection: dict[str, Any]) -> Plant:
    """After them comes the order between them, over this connection."""
    about = placed("z", DEVICE, "anna", 8, "c8")
    return both(swapped(PRESENT, FORMER), about, got(9.4, "c8", 8, **connection))


def attempts(second: int, **connection: Any) -> Plant:
    """The second order comes as attempt 3, and then as this one."""
    return both(got(9.2, "c2", 2, 3), got(9.3, "c2", 2, second, **connection))


PAIRS: Pairs = {
    "commands arrive, in order, and a repeated request is one command": [
        (attempts(2, **FORMER), attempts(2, **PRESENT)),
        (attempts(4, **PRESENT), attempts(4, **FORMER)),
        (attempts(2, **FORMER), attempts(3, **FORMER)),
        (attempts(2, **FORMER), attempts(1, **FORMER)),  # the sound run has that one over it
        (swapped(PRESENT, FORMER), swapped(PRESENT, PRESENT)),
        (swapped(PRESENT, FORMER), swapped(FORMER, FORMER)),
        (swapped(PRESENT, FORMER), swapped(FORMER, PRESENT)),
        (swapped(PRESENT, UNANSWERED), swapped(UNANSWERED, PRESENT)),
        (third(FORMER), third(PRESENT)),
        (both(rival(8), swapped(PRESENT, RIVAL)), both(rival(10), swapped(PRESENT, RIVAL))),
        (both(rival(8), swapped(RIVAL, FORMER)), both(rival(6), swapped(RIVAL, FORMER))),
        # a register without an answer: it is not known which of the two is the earlier one
        (swapped(PRESENT, RIVAL), both(rival(9), swapped(PRESENT, RIVAL))),
        (swapped(RIVAL, PRESENT), both(rival(9), swapped(RIVAL, PRESENT))),
    ],
    "a command is sent again only while it is not acknowledged": [
        *(
            (
                both(shows(6.9, "x", status), got(9.2, "x", 9, **FORMER)),
                both(shows(6.9, "x", status), got(9.2, "x", 9, **PRESENT)),
            )
            for status in ("delivered", "expired")
        ),
    ],
}
