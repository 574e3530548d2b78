"""The plan of a run: which fault begins when, decided by the seed alone."""

from __future__ import annotations

import dataclasses
import random

from chaos.faults.fault import Fault


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """A fault of a plan.

    Attributes:
        at_s: When it begins, seconds after the people have begun.
        chance: Seed of what it draws itself: targets, durations, amounts.
    """

    at_s: float
    fault: Fault
    chance: str


#: When the one fault of a run that loses data begins: early, so that most of the run is judged whole.
LOSS_AT_S = (20.0, 40.0)


def make_plan(seed: int, seconds: float, faults: list[Fault]) -> list[Planned]:
    """Return the faults of a run in the order of their beginning.

    Faults overlap when one begins before another is over. Every kind comes once before any kind
    comes again, so that also a short run has many kinds; of the kinds that lose data one comes, once.

    Args:
        seed: The same seed and faults give the same plan.
        seconds: No fault begins later than this.
        faults: What to choose from.
    """
    chance = random.Random(f"plan/{seed}")
    losing = [fault for fault in faults if fault.loses_data]
    others = [fault for fault in faults if not fault.loses_data]
    plan: list[Planned] = []
    if losing:
        plan.append(Planned(chance.uniform(*LOSS_AT_S), chance.choice(losing), f"{seed}/loss"))
    bag: list[Fault] = []
    at_s = chance.uniform(1, 3)
    while at_s < seconds and others:
        if not bag:
            bag = others.copy()
            chance.shuffle(bag)
        plan.append(Planned(at_s, bag.pop(), f"{seed}/fault {len(plan)}"))
        at_s += chance.choice([0.3, 1.5, 3.0, 5.0]) * chance.uniform(0.7, 1.3)
    return sorted((one for one in plan if one.at_s < seconds), key=lambda one: one.at_s)
