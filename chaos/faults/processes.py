"""Nodes, workers and Valkey are killed, paused, or ended in order, and come back."""

from __future__ import annotations

import asyncio
import random
import signal

from chaos.faults.fault import DRAIN_CUT, REDIS_AWAY, Fault
from chaos.system import Process, System


async def _killed(process: Process, chance: random.Random) -> None:
    process.send(signal.SIGKILL)
    await process.ended()
    await asyncio.sleep(chance.choice([0.0, 0.5, 3.0]))
    process.start()


async def _paused(process: Process, chance: random.Random, longest_s: float) -> None:
    process.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(chance.uniform(0.2, longest_s))
    finally:
        process.send(signal.SIGCONT)


async def kill_node(system: System, chance: random.Random) -> str:
    """Kill -9 of a node."""
    node = chance.choice(system.nodes)
    await _killed(node.process, chance)
    return node.process.name


async def pause_node(system: System, chance: random.Random) -> str:
    """Stop a node by SIGSTOP, also for longer than its lease."""
    node = chance.choice(system.nodes)
    await _paused(node.process, chance, 12)
    return node.process.name


async def end_node(system: System, chance: random.Random) -> str:
    """End a node by SIGTERM, as at an upgrade."""
    node = chance.choice(system.nodes)
    node.process.send(signal.SIGTERM)
    await node.process.ended()
    node.process.start()
    return node.process.name


async def roll(system: System, chance: random.Random) -> str:
    """End one node after the other, each when the one before is ready again."""
    for node in system.nodes:
        node.process.send(signal.SIGTERM)
        await node.process.ended()
        node.process.start()
        for _ in range(100):
            if await asyncio.to_thread(node.is_ready):
                break
            await asyncio.sleep(0.1)
    return "all nodes"


async def kill_worker(system: System, chance: random.Random) -> str:
    """Kill a worker by SIGKILL, at any point of its work."""
    worker = chance.choice(system.workers)
    await _killed(worker, chance)
    return worker.name


async def pause_worker(system: System, chance: random.Random) -> str:
    """Stop a worker by SIGSTOP."""
    worker = chance.choice(system.workers)
    await _paused(worker, chance, 10)
    return worker.name


async def end_worker(system: System, chance: random.Random) -> str:
    """End a worker by SIGTERM."""
    worker = chance.choice(system.workers)
    worker.send(signal.SIGTERM)
    await worker.ended()
    worker.start()
    return worker.name


async def kill_valkey(system: System, chance: random.Random) -> str:
    """Kill -9 of Valkey; what it acknowledged is in its file (`appendfsync always`)."""
    await _killed(system.valkey, chance)
    await system.redis_answers()
    return system.valkey.name


async def pause_valkey(system: System, chance: random.Random) -> str:
    """Stop Valkey by SIGSTOP."""
    await _paused(system.valkey, chance, 6)
    return system.valkey.name


FAULTS = [
    Fault("node killed", kill_node),
    Fault("node paused", pause_node),
    Fault("node ended", end_node, logged=DRAIN_CUT),
    Fault("rolling restart", roll, logged=DRAIN_CUT),
    Fault("worker killed", kill_worker),
    Fault("worker paused", pause_worker),
    Fault("worker ended", end_worker),
    Fault("valkey killed", kill_valkey, logged=REDIS_AWAY),
    Fault("valkey paused", pause_valkey, logged=REDIS_AWAY),
]
