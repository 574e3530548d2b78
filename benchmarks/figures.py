"""The arithmetic: medians and ranges over rounds, ratios between contestants, goals met or not."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

#: contestant → figure → its values, one a round; the same round has the same place everywhere.
Rounds = Mapping[str, Mapping[str, Sequence[float]]]


class Spread(NamedTuple):
    """A median, and the lowest and highest value beside it."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def ratios(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Of two contestants, round by round, because the machine's moods hit both within a round.

    Where a run failed and left no value, those after it are paired with their neighbours.
    """
    return spread([a / b for a, b in zip(over, under, strict=False)])


def best(peers: Sequence[Sequence[float]]) -> list[float]:
    """The lowest value of each round, of those that have any."""
    return [min(values) for values in zip(*filter(None, peers), strict=False)]


@dataclass(frozen=True)
class Goal:
    """One line of the table of goals.

    `value`: the contestant's figure is at most the bound. `least`: it is at least the bound. `less`: the
    peer's is at least so many times the contestant's. `more`: the contestant's is at most so many times
    the peer's. `beside`: neither is more than so many times the other. With several peers, the best of
    them that ran counts in each round.
    """

    text: str
    kind: Literal["value", "least", "less", "more", "beside"]
    figure: str
    bound: float
    peers: tuple[str, ...] = ()
    contestant: str = "muster"


@dataclass(frozen=True)
class Verdict:
    """What became of a goal."""

    goal: Goal
    found: Spread | None  #: None: not measured
    is_met: bool

    @property
    def word(self) -> str:
        if self.found is None:
            return "not measured"
        return "met" if self.is_met else "not met"


def judge(goal: Goal, rounds: Rounds, *, flawed: frozenset[str] = frozenset()) -> Verdict:
    """Compares medians with a goal.

    Args:
        goal: for this load.
        rounds: of this load.
        flawed: contestants that lost something; the goal is not met when ours did.
    """
    ours = rounds.get(goal.contestant, {}).get(goal.figure)
    theirs = best([rounds.get(name, {}).get(goal.figure, []) for name in goal.peers])
    if not ours or (goal.peers and not theirs):
        return Verdict(goal, None, False)
    if goal.kind == "value":
        found = spread(ours)
        is_met = found.median <= goal.bound
    elif goal.kind == "least":
        found = spread(ours)
        is_met = found.median >= goal.bound
    elif goal.kind == "less":
        found = ratios(theirs, ours)
        is_met = found.median >= goal.bound
    else:
        found = ratios(ours, theirs)
        is_met = found.median <= goal.bound
        if goal.kind == "beside":
            is_met = is_met and found.median >= 1 / goal.bound
    return Verdict(goal, found, is_met and goal.contestant not in flawed)


def shown(value: float) -> str:
    """Three digits that say something: 0.123, 4.56, 78.9, 1,234."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
