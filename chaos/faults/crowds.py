"""Many at once: storms of registers, of one id or of many, and strangers who mean harm."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from chaos.faults.fault import Fault
from chaos.journal import Contested
from chaos.socket import Socket, SocketLost
from chaos.system import System

#: An id that no device of the run has.
ONE_ID = "storm"
#: So many sockets connect at the same moment, as a listener's backlog has room.
AT_ONCE = 250
#: A node that is cut off from Redis by another fault tells a socket so much later that it was superseded.
HEARS_S = 30.0
ROOT = Path(__file__).parents[2]


class _Member:
    """One of a crowd: a socket and whether it was superseded."""

    def __init__(self) -> None:
        self.socket: Socket | None = None
        self.superseded = False
        self.refusal = ""  #: why its register was not taken

    async def register(self, port: int, device: str) -> bool:
        """Return whether a node took the register."""
        try:
            self.socket = await Socket.connect(port, self._event, timeout_s=30)
            answer = await self.socket.call("register", {"device_id": device}, timeout_s=30)
            self.refusal = "" if answer["ok"] else answer["error"]["code"]
        except SocketLost as lost:
            self.refusal = str(lost)
        return not self.refusal

    def _event(self, event: str, payload: object, reply: object) -> None:
        self.superseded = self.superseded or event == "superseded"

    def leave(self) -> None:
        if self.socket is not None:
            self.socket.close("done", abruptly=True)

    @property
    def stays(self) -> bool:
        return self.socket is not None and not self.socket.closed.done() and not self.superseded


async def _all_register(
    crowd: list[_Member], system: System, chance: random.Random, names: list[str]
) -> str:
    """Register all; return how many were taken, and why the others were not."""
    few = asyncio.Semaphore(AT_ONCE)

    async def one(member: _Member, name: str, port: int) -> bool:
        async with few:
            return await member.register(port, name)

    ports = [chance.choice(system.nodes).own_port for _ in crowd]
    each = zip(crowd, names, ports, strict=True)
    taken = sum(await asyncio.gather(*(one(*mine) for mine in each)))
    why = Counter(member.refusal for member in crowd if member.refusal)
    return f"{taken} of {len(crowd)} taken {dict(why) if why else ''}".strip()


async def one_id(system: System, chance: random.Random) -> str:
    """Let a crowd on all nodes register one id at once."""
    crowd = [_Member() for _ in range(system.crowd)]
    try:
        taken = await _all_register(crowd, system, chance, [ONE_ID] * len(crowd))
        until = time.monotonic() + HEARS_S
        await asyncio.sleep(1)
        while (stay := sum(member.stays for member in crowd)) > 1 and time.monotonic() < until:
            await asyncio.sleep(0.2)
        system.journal.add(Contested, ONE_ID, stay)
        return f"{taken}, {stay} stayed"
    finally:
        for member in crowd:
            member.leave()


async def crowd_reconnects(system: System, chance: random.Random) -> str:
    """Let a crowd of devices register, lose all its connections at once, and come back at once."""
    names = [f"crowd-{number}" for number in range(system.crowd)]
    taken = []
    for _ in range(2):
        crowd = [_Member() for _ in names]
        try:
            taken.append(await _all_register(crowd, system, chance, names))
        finally:
            for member in crowd:
                member.leave()
    return f"{taken[0]}, then {taken[1]}"


async def everybody(system: System, chance: random.Random) -> str:
    """Cut all clients of all nodes off at once: all come back together."""
    return str(sum(node.people.cut() for node in system.nodes))


async def strangers(system: System, chance: random.Random) -> str:
    """Let strangers without a login send nonsense to a node, of all kinds that the tests know."""
    node = chance.choice(system.nodes)
    count, seconds = max(8, system.crowd // 10), chance.uniform(3, 8)
    words = ("-m", "tests.support.crowds.hostile_crowd", node.own_port, count, f"{seconds:.1f}")
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await asyncio.to_thread(process.wait, seconds + 30)
    finally:
        process.kill()
        process.wait()
    return f"{count} at {node.process.name}"


FAULTS = [
    Fault("storm on one id", one_id),
    Fault("crowd reconnects", crowd_reconnects),
    Fault("everybody reconnects", everybody),
    Fault("hostile strangers", strangers),
]
