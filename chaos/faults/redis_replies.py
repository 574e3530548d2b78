"""Redis itself says something else than usual: busy, full, forgetful, or hangs up."""

from __future__ import annotations

import asyncio
import random

import redis

from chaos.faults.fault import REDIS_AWAY, Fault
from chaos.system import System


async def busy(system: System, chance: random.Random) -> str:
    """Run a script of another program for seconds: all other calls are answered BUSY.

    It is ended from outside: by Redis's own clock, which jumps too, it could last for ever.
    """
    seconds = chance.uniform(0.5, 4)

    def run() -> None:
        with redis.Redis(port=system.redis_port, socket_timeout=60) as client:
            try:
                client.eval("while true do end", 0)
            except redis.RedisError:
                pass  # it was ended, or Valkey was killed meanwhile

    running = asyncio.create_task(asyncio.to_thread(run))
    await asyncio.sleep(seconds)
    while not running.done():
        await _said(system, "SCRIPT", "KILL")
        await asyncio.wait([running], timeout=0.2)
    return f"{seconds:.1f} s"


async def _said(system: System, *command: str) -> None:
    try:
        await asyncio.to_thread(system.client.execute_command, *command)
    except redis.RedisError:
        pass  # it is down or busy by another fault: then this one adds nothing


async def forget_scripts(system: System, chance: random.Random) -> str:
    """Drop all scripts by SCRIPT FLUSH."""
    await _said(system, "SCRIPT", "FLUSH")
    return "valkey"


async def hang_up(system: System, chance: random.Random) -> str:
    """Let the server close all connections of its clients."""
    await _said(system, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    return "valkey"


async def full(system: System, chance: random.Random) -> str:
    """Leave no memory for writes for a while."""
    await _said(system, "CONFIG", "SET", "maxmemory", "1mb")
    try:
        await asyncio.sleep(chance.uniform(0.5, 5))
    finally:
        for _ in range(100):  # as long as another fault keeps it from answering
            try:
                await asyncio.to_thread(system.client.config_set, "maxmemory", "0")
                break
            except redis.RedisError:
                await asyncio.sleep(0.2)
    return "valkey"


FAULTS = [
    Fault("busy", busy, logged=REDIS_AWAY),
    Fault("scripts forgotten", forget_scripts),
    Fault("clients hung up", hang_up, logged=REDIS_AWAY),
    Fault("memory full", full, logged=REDIS_AWAY),
]
