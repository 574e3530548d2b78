"""Lines between clients, nodes, workers and Redis are cut, deaf, slow or narrow for a while."""

from __future__ import annotations

import asyncio
import random

from chaos.faults.fault import REDIS_AWAY, Fault
from chaos.proxy import Line, Proxy
from chaos.system import System


async def _spoiled(proxy: Proxy, line: Line, chance: random.Random, longest_s: float) -> None:
    proxy.line = line
    try:
        await asyncio.sleep(chance.uniform(0.3, longest_s))
    finally:
        proxy.heal()


def _a_redis_line(system: System, chance: random.Random) -> tuple[Proxy, str]:
    lines = [(node.redis, f"node {node.index} to Redis") for node in system.nodes]
    return chance.choice([*lines, (system.worker_line, "workers to Redis")])


def _a_people_line(system: System, chance: random.Random) -> tuple[Proxy, str]:
    node = chance.choice(system.nodes)
    return node.people, f"people to node {node.index}"


async def cut_redis(system: System, chance: random.Random) -> str:
    """Reset all connections, and take none for a while."""
    proxy, name = _a_redis_line(system, chance)
    proxy.line = Line(refuses=True)
    proxy.cut()
    await _spoiled(proxy, Line(refuses=True), chance, 8)
    return name


async def deafen_redis(system: System, chance: random.Random) -> str:
    """Let nothing pass, without an error: requests are delayed, and then arrive all the same."""
    proxy, name = _a_redis_line(system, chance)
    await _spoiled(proxy, Line(deaf=True), chance, 8)
    return name


async def slow_redis(system: System, chance: random.Random) -> str:
    """Delay every piece."""
    proxy, name = _a_redis_line(system, chance)
    await _spoiled(proxy, Line(delay_s=chance.uniform(0.02, 0.2)), chance, 8)
    return name


async def reset_redis(system: System, chance: random.Random) -> str:
    """Reset all connections once: replies are lost, their requests were carried out."""
    proxy, name = _a_redis_line(system, chance)
    proxy.cut()
    return name


async def cut_people(system: System, chance: random.Random) -> str:
    """Cut all clients of a node off at once: they come back, here or elsewhere."""
    proxy, name = _a_people_line(system, chance)
    proxy.cut()
    return name


async def deafen_people(system: System, chance: random.Random) -> str:
    """Let nothing pass: connections are half open, and neither side sees an error."""
    proxy, name = _a_people_line(system, chance)
    await _spoiled(proxy, Line(deaf=True), chance, 9)
    return name


async def narrow_people(system: System, chance: random.Random) -> str:
    """Let little pass: dashboards lag, and are conflated or ended."""
    proxy, name = _a_people_line(system, chance)
    await _spoiled(proxy, Line(bytes_per_s=20_000), chance, 8)
    return name


FAULTS = [
    Fault("redis cut off", cut_redis, logged=REDIS_AWAY),
    Fault("redis deaf", deafen_redis, logged=REDIS_AWAY),
    Fault("redis slow", slow_redis, logged=REDIS_AWAY),
    Fault("redis replies lost", reset_redis, logged=REDIS_AWAY),
    Fault("people cut off", cut_people),
    Fault("people deaf", deafen_people),
    Fault("people narrow", narrow_people),
]
