"""Promises with a time, which a simulation can hold exactly: nothing but its faults delays anything."""

from __future__ import annotations

from collections.abc import Callable

from chaos.checks import ALL
from chaos.evidence import Evidence
from chaos.simulation.checks import delivered, registers, timed, visits
from chaos.simulation.checks.course import Course

#: The promises that a simulation says nothing about: it has no archive.
NOT_HERE = frozenset({"the archive is whole"})


def judge(evidence: Evidence, course: Course) -> dict[str, list[str]]:
    """Return what is wrong, by promise."""
    exact: dict[str, Callable[[Evidence, Course], list[str]]] = {
        "who lost its session is told": delivered.closed,
        "commands reach a connected device": delivered.reached,
        "connected devices stay active": registers.stay_connected,
        "a register is refused as long as is promised, and no longer": registers.not_too_often,
        "who was sent away is refused no longer": registers.away_as_long,
        "a former socket does not register again": registers.late_registers,
        "each answer counts the clients that are there": visits.counted,
        "a command that has ended is not cancelled": timed.results_count,
        "a cancelled command is not sent any more": timed.cancelled,
        "an order is one command": delivered.once,
        "a refused register is repeated": timed.registered_again,
        "what was sent before a goodbye has its effect": timed.goodbyes,
        "an acknowledged command does not come again": timed.acks_count,
        "setups reach a connected device": timed.setups_arrive,
        "who was sent away is closed": timed.kicked_close,
        "commands end at their deadline": timed.commands_end,
        "who is overdue is inactive in time": timed.overdue,
        "keys of connected sessions are renewed": timed.renewed,
    }
    return {
        **{name: check(evidence) for name, check in ALL.items() if name not in NOT_HERE},
        **{name: check(evidence, course) for name, check in exact.items()},
    }
