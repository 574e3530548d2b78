"""Many at once: storms of registers, of one id or of many, and strangers who mean harm."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from chaos.faults.fault import Fault
from chaos.journal import Contested
from chaos.system import System

#: An id that no device of the run has.
ONE_ID = "storm"
#: A crowd that takes longer is ended.
PATIENCE_S = 180
ROOT = Path(__file__).parents[2]


async def _program(module: str, *words: object, timeout_s: float) -> str:
    """Run a program of this repository; return what it said, "" if it took too long."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.to_thread(process.communicate, None, timeout_s)
        return said
    except subprocess.TimeoutExpired:
        return ""
    finally:
        process.kill()
        process.wait()


async def _crowd(
    system: System, chance: random.Random, rounds: int, one_id: str
) -> list[dict[str, Any]]:
    ports = [node.own_port for node in system.nodes]
    words = (chance.random(), system.crowd, rounds, one_id, *ports)
    said = await _program("chaos.crowd", *words, timeout_s=PATIENCE_S)
    return json.loads(said) if said else []


async def one_id(system: System, chance: random.Random) -> str:
    """Let a crowd on all nodes register one id at once."""
    rounds = await _crowd(system, chance, 1, ONE_ID)
    for one in rounds:
        system.journal.add(Contested, ONE_ID, one["stayed"])
    return f"of {system.crowd}: {rounds}"


async def crowd_reconnects(system: System, chance: random.Random) -> str:
    """Let a crowd of devices register, lose all its connections at once, and come back at once."""
    return f"of {system.crowd}: {await _crowd(system, chance, 2, '')}"


async def everybody(system: System, chance: random.Random) -> str:
    """Cut all clients of all nodes off at once: all come back together."""
    return str(sum(node.people.cut() for node in system.nodes))


async def strangers(system: System, chance: random.Random) -> str:
    """Let strangers without a login send nonsense to a node, of all kinds that the tests know."""
    node = chance.choice(system.nodes)
    count, seconds = max(8, system.crowd // 10), chance.uniform(3, 8)
    words = (node.own_port, count, f"{seconds:.1f}")
    crowd = "tests.support.crowds.hostile_crowd"
    await _program(crowd, *words, timeout_s=seconds + 30)
    return f"{count} at {node.process.name}"


FAULTS = [
    Fault("storm on one id", one_id),
    Fault("crowd reconnects", crowd_reconnects),
    Fault("everybody reconnects", everybody),
    Fault("hostile strangers", strangers),
]
