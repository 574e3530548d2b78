"""Dashboards that read slowly or not at all, while a device of their own fills what waits for them."""

from __future__ import annotations

import asyncio
import random
import socket as sockets

from chaos.faults.fault import Fault
from chaos.people.dashboards import NOISE
from chaos.socket import Socket, SocketLost
from chaos.system import System

#: More than the 4 MiB above which a node disconnects a dashboard (README).
UPDATES, VALUE_BYTES = 100, 60_000
#: How much a slow one reads; and how long all of them stay.
SLOW_BYTES_PER_S, STAY_S = 20_000, 12


async def _reader(port: int, bytes_per_s: int) -> str:
    """Watch the fleet, then read so little; return how it ended."""
    line = sockets.socket()
    line.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    line.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", port))
        watching = await Socket.connect(port, lambda *_: None, line=line)
        await watching.call("register_vue", {"batch": True})
    except (OSError, SocketLost):
        line.close()
        return "not connected"
    watching.bytes_per_s = bytes_per_s
    try:
        return await asyncio.wait_for(asyncio.shield(watching.closed), STAY_S)
    except TimeoutError:
        return "stayed" if bytes_per_s else "read nothing"
    finally:
        watching.close("done", abruptly=True)


async def _noise(port: int) -> str:
    taken = 0
    try:
        device = await Socket.connect(port, lambda *_: None)
        try:
            await device.call("register", {"device_id": NOISE})
            for number in range(UPDATES):
                value = f"{number} " + "x" * VALUE_BYTES
                ack = await device.call("update_data", {"data": {NOISE: value}})
                taken += bool(ack["ok"])
                if not ack["ok"]:
                    await asyncio.sleep(0.2)
        finally:
            device.close("done")
    except SocketLost:
        pass
    return f"{taken} of {UPDATES} long updates taken"


async def slow(system: System, chance: random.Random) -> str:
    """Let some dashboards read little and some nothing, and send more than a node keeps for them."""
    node = chance.choice(system.nodes)
    readers = [
        asyncio.create_task(_reader(node.own_port, number % 2 * SLOW_BYTES_PER_S))
        for number in range(4)
    ]
    await asyncio.sleep(0.5)
    noise = await _noise(chance.choice(system.nodes).own_port)
    ends = await asyncio.gather(*readers)
    return f"{noise}; readers: {', '.join(ends)}"


FAULTS = [Fault("slow dashboards", slow)]
