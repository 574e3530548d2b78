"""Many at once: storms of registers, of one id or of many."""

from __future__ import annotations

import asyncio
import random

from chaos.faults.fault import Fault
from chaos.socket import Socket, SocketLost
from chaos.system import System

#: An id that no device of the run has.
ONE_ID = "storm"


async def _register(system: System, port: int, device: str) -> bool:
    """Register once and stay for a moment; return whether the socket got the id and kept it."""
    superseded = asyncio.Event()

    def on_event(event: str, payload: object, reply: object) -> None:
        if event == "superseded":
            superseded.set()

    try:
        socket = await Socket.connect(port, on_event)
        answer = await socket.call("register", {"device_id": device}, timeout_s=15)
        await asyncio.sleep(0.5)
        socket.close(abruptly=True)
        return bool(answer["ok"]) and not superseded.is_set()
    except SocketLost:
        return False


async def one_id(system: System, chance: random.Random) -> str:
    """Let 100 sockets on all nodes register one id at once."""
    ports = [chance.choice(system.nodes).people.port for _ in range(100)]
    kept = await asyncio.gather(*(_register(system, port, ONE_ID) for port in ports))
    return f"{sum(kept)} of {len(kept)} were not superseded"


async def everybody(system: System, chance: random.Random) -> str:
    """Cut all clients of all nodes off at once: all come back together."""
    return str(sum(node.people.cut() for node in system.nodes))


FAULTS = [Fault("storm on one id", one_id), Fault("everybody reconnects", everybody)]
