"""Faults of a simulation: those of `chaos.faults` that need no real process, and what only Redis can do."""

from __future__ import annotations

import asyncio
import random
from typing import cast

from chaos.faults import network, processes
from chaos.faults.fault import Fault
from chaos.proxy import Line
from chaos.simulation.system import SimulatedSystem
from chaos.system import System


def _simulated(system: System) -> SimulatedSystem:
    return cast("SimulatedSystem", system)


async def lose_replies(system: System, chance: random.Random) -> str:
    """Lose single replies of a node, each with its connection: what they answer was done."""
    node = chance.choice(_simulated(system).nodes)
    node.redis.loses += chance.randint(1, 5)
    return node.process.name


async def busy(system: System, chance: random.Random) -> str:
    """Answer BUSY to all, as while a script of another program runs."""
    server = _simulated(system).server
    server.is_busy = True
    await asyncio.sleep(chance.uniform(0.2, 2))
    server.is_busy = False
    return "redis"


async def restart_redis(system: System, chance: random.Random) -> str:
    """End Redis and start it again, with all its data and no script."""
    simulated = _simulated(system)
    simulated.server.refuses = True
    for node in simulated.nodes:
        node.redis.cut()
    await asyncio.sleep(chance.uniform(0.1, 4))
    simulated.server.boot()
    return "redis"


async def pause_redis(system: System, chance: random.Random) -> str:
    """Let Redis stand still."""
    server = _simulated(system).server
    server.pause()
    await asyncio.sleep(chance.uniform(0.2, 4))
    server.resume()
    return "redis"


async def forget_scripts(system: System, chance: random.Random) -> str:
    """Drop all scripts."""
    _simulated(system).server.fake.script_cache.clear()
    return "redis"


async def narrow(system: System, chance: random.Random) -> str:
    """Let so little pass to the people of a node that dashboards lag behind the few devices of a simulation."""
    node = chance.choice(_simulated(system).nodes)
    node.people.line = Line(bytes_per_s=1_000)
    await asyncio.sleep(chance.uniform(2, 8))
    node.people.heal()
    return node.process.name


async def lose_messages(system: System, chance: random.Random) -> str:
    """Lose all messages from node to node."""
    server = _simulated(system).server
    server.loses_messages = True
    await asyncio.sleep(chance.uniform(0.5, 4))
    server.loses_messages = False
    return "redis"


#: Those of a whole service that need nothing but nodes and lines.
_OF_NODES = frozenset(
    {
        *("node killed", "node paused", "node ended"),
        *("redis cut off", "redis deaf", "redis slow", "redis replies lost"),
        *("people cut off", "people deaf"),
    }
)
FAULTS = [
    *(fault for fault in [*processes.FAULTS, *network.FAULTS] if fault.name in _OF_NODES),
    Fault("people narrow", narrow),
    Fault("replies lost", lose_replies),
    Fault("busy", busy),
    Fault("redis restarted", restart_redis),
    Fault("redis paused", pause_redis),
    Fault("scripts forgotten", forget_scripts),
    Fault("messages lost", lose_messages),
]
