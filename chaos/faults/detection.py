"""Failures whose detection the README promises within a time, and how long it takes.

Each is alone, and begins when all is well: an outage of Redis gives nodes a lease more, and that is
promised too.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

from chaos.faults.fault import Fault
from chaos.journal import Measured
from chaos.load import Waiting
from chaos.proxy import Line, Proxy
from chaos.socket import Socket, SocketLost
from chaos.system import SETTINGS, Node, System, http

#: README, with the `lease_s` of config.json and the ping times of a run.
NODE_DIED_S = 8.0
ALL_NODES_DIED_S = 14.0
UNPLUGGED_S = SETTINGS["node.ping_interval_s"] + SETTINGS["node.ping_timeout_s"] + 2.0
#: Two leases: what an outage of Redis before has left as grace is over.
QUIET_S = 12.0
#: A detection that takes longer is not waited for.
GIVEN_UP_S = 60.0


async def detected(system: System, chance: random.Random) -> str:
    """Kill a node, or all, or unplug a device, and wait until the sessions are inactive."""
    await system.ready()
    await asyncio.sleep(QUIET_S)
    what: Callable[[System, random.Random], Any]
    what = chance.choice([_node_died, _node_died, _all_died, _unplugged, _unplugged])
    await what(system, chance)
    return what.__name__.strip("_")


async def _node_died(system: System, chance: random.Random) -> None:
    node = chance.choice(system.nodes)
    sessions = await asyncio.to_thread(_held, system)
    node_id = await asyncio.to_thread(_node_id, node)
    mine = {name: owner for name, owner in sessions.items() if owner[0] == node_id}
    others = [one.process.pid for one in system.nodes if one is not node]
    waiting = _Watch(system, others)
    node.process.send(signal.SIGKILL)
    await waiting.until_gone(mine)
    waiting.note("a node died", NODE_DIED_S)
    await node.process.ended()
    node.process.start()
    await system.ready()


async def _all_died(system: System, chance: random.Random) -> None:
    sessions = await asyncio.to_thread(_held, system)
    waiting = _Watch(system, [worker.pid for worker in system.workers])
    for node in system.nodes:
        node.process.send(signal.SIGKILL)
    await waiting.until_gone(sessions)
    waiting.note("all nodes died", ALL_NODES_DIED_S)
    for node in system.nodes:
        await node.process.ended()
        node.process.start()
    await system.ready()


async def _unplugged(system: System, chance: random.Random) -> None:
    """Let a device of its own fall silent: its line is there, and nothing comes."""
    device = f"unplugged-{chance.randrange(10**9)}"
    node = chance.choice(system.nodes)
    line = Proxy(node.own_port)
    await line.start()
    try:
        socket = await Socket.connect(line.port, lambda *_: None)
        answer = await socket.call("register", {"device_id": device})
        if not answer["ok"]:
            return
        held = {n: o for n, o in (await asyncio.to_thread(_held, system)).items() if n == device}
        await asyncio.sleep(chance.uniform(0, SETTINGS["node.ping_interval_s"]))
        waiting = _Watch(system, [node.process.pid])
        line.line = Line(deaf=True)
        await waiting.until_gone(held)
        waiting.note("a device was unplugged", UNPLUGGED_S)
        socket.close("done", abruptly=True)
    except SocketLost:
        return
    finally:
        await line.stop()


class _Watch:
    """Watches sessions from a moment on, and how long processes that must act wait for a processor."""

    def __init__(self, system: System, pids: list[int]) -> None:
        self._system = system
        self._waiting = Waiting([*pids, system.valkey.pid, os.getpid()])
        self._began = time.monotonic()

    async def until_gone(self, held: dict[str, tuple[str, str]]) -> None:
        """Wait until no session is active with the owner that it had."""
        while time.monotonic() < self._began + GIVEN_UP_S:
            now = await asyncio.to_thread(_held, self._system)
            if not any(now.get(name) == owner for name, owner in held.items()):
                return
            await asyncio.sleep(0.1)

    def note(self, what: str, promised_s: float) -> None:
        took_s = time.monotonic() - self._began
        self._system.journal.add(Measured, what, promised_s, took_s, self._waiting.longest_s())


def _held(system: System) -> dict[str, tuple[str, str]]:
    """Return the active sessions: id → node and generation of the owner."""
    client: Any = system.client
    found = {}
    for index in client.keys("muster:{*}:active"):
        tag = index.removesuffix("active")
        names = client.zrange(index, 0, -1)
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(f"{tag}session:{name}", "node_id", "generation")
            for name, (node_id, generation) in zip(names, pipe.execute(), strict=True):
                found[name] = (node_id or "", generation or "")
    return found


def _node_id(node: Node) -> str:
    """Return the id under which a node's process is known now."""
    _, answer, _ = http(node.own_port, "GET", "/readyz")
    return str(answer["node_id"])


FAULTS = [Fault("failure detected", detected, alone=True)]
