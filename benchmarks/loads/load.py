"""What a load is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import Goal
from benchmarks.running.trial import Contestant
from benchmarks.servers.before import BEFORE
from benchmarks.servers.server import Server

CPU = ("event_us", "nodes_event_us", "redis_event_us")
EVENTS = (*CPU, "events_per_s", "p50_ms", "p99_ms")


@dataclass(frozen=True)
class Load:
    """One load with its contestants, which take turns."""

    name: str
    title: str
    contestants: tuple[Contestant, ...]
    goals: tuple[Goal, ...]
    figures: tuple[str, ...]  #: shown, see trial.figures_of
    options: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "stream"  #: of the generator, or a program of its own
    rounds: int = 99  #: no more than these
    seconds: float = 0  #: no less than these
    #: Those that also take their turn in a quick run; none: the load is left out there.
    quick: frozenset[str] = frozenset()


def alone(*servers: Server) -> tuple[Contestant, ...]:
    """Each with one node, to which all connect."""
    return tuple(map(Contestant, servers))


def since(what: str, figure: str, then: float, bound: float) -> Goal:
    """A goal of one machine as what it asks for of any: the part of what `BEFORE` takes there.

    Args:
        what: the figure, in words.
        figure: its name.
        then: what `BEFORE` took on the machine on which the goal was set.
        bound: the goal.
    """
    text = f"{what} against 20 November (then {then:g}, goal {bound:g})"
    return Goal(text, "more", figure, round(bound / then, 2), (BEFORE.name,))
