"""The clock of Redis is set forward or back, and later right again."""

from __future__ import annotations

import asyncio
import random

from chaos.faults.fault import JOB_FORGOTTEN, Fault
from chaos.system import System

#: More than the minute from which on the service speaks of a jump, and less than a run waits at its
#: end for sessions that became inactive while the clock was ahead.
SHORTEST_S, LONGEST_S = 61, 90


async def set_wrong(system: System, chance: random.Random) -> str:
    """Let the clock jump, run so for a while, and jump back."""
    ahead_s = chance.choice([1, -1]) * chance.randint(SHORTEST_S, LONGEST_S)
    system.clock.set_clock(ahead_s)
    try:
        await asyncio.sleep(chance.uniform(1, 12))
    finally:
        system.clock.set_clock(0)
    return f"{ahead_s:+} s"


SAID = ("the clock of Redis jumped", *JOB_FORGOTTEN)

FAULTS = [Fault("redis clock", set_wrong, logged=SAID, by_shim=True)]
