"""A crowd of devices in a process of its own: `python -m chaos.crowd <seed> <size> <rounds> <id> <port> …`.

In the process of a run it would slow the lines down that the run keeps between nodes and Redis.
In each round all of them connect and register at once; then all are gone, without a word. It prints
JSON: of each round how many registers were taken, and why the others were not, and how many stayed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

from chaos.socket import Socket, SocketLost

#: So many sockets connect at the same moment, as a listener's backlog has room.
AT_ONCE = 250
#: A former owner learns of the later one at once, by a message. A node that is cut off just then, by another fault, may
#: never send it, or not learn itself that its register was taken; then the comparison once a minute finds out.
HEARS_S = 75.0


class _Member:
    """One of a crowd: a socket, and what became of it."""

    def __init__(self) -> None:
        self.socket: Socket | None = None
        self.superseded = False
        self.refusal = "not tried"  #: why its register was not taken

    async def register(self, port: int, device: str) -> None:
        try:
            self.socket = await Socket.connect(port, self._event, timeout_s=60)
            answer = await self.socket.call("register", {"device_id": device}, timeout_s=60)
            self.refusal = "" if answer["ok"] else answer["error"]["code"]
        except SocketLost as lost:
            self.refusal = str(lost)

    def _event(self, event: str, payload: object, reply: object) -> None:
        self.superseded = self.superseded or event == "superseded"

    def leave(self) -> None:
        if self.socket is not None:
            self.socket.close("done", abruptly=True)

    @property
    def stays(self) -> bool:
        return self.socket is not None and not self.socket.closed.done() and not self.superseded


async def come(chance: random.Random, size: int, one_id: str, ports: list[int]) -> dict[str, Any]:
    """Do a round.

    Args:
        chance: Decides to which node each connects.
        size: How many.
        one_id: The id under which all register; "": each has its own.
        ports: Of the nodes.
    """
    crowd = [_Member() for _ in range(size)]
    few = asyncio.Semaphore(AT_ONCE)

    async def one(member: _Member, port: int, device: str) -> None:
        async with few:
            await member.register(port, device)

    try:
        names = [one_id or f"crowd-{number}" for number in range(size)]
        each = [(m, chance.choice(ports), name) for m, name in zip(crowd, names, strict=True)]
        await asyncio.gather(*(one(*mine) for mine in each))
        until = time.monotonic() + HEARS_S
        await asyncio.sleep(1 if one_id else 0)
        while one_id and sum(m.stays for m in crowd) > 1 and time.monotonic() < until:
            await asyncio.sleep(0.2)
        refused = Counter(member.refusal for member in crowd if member.refusal)
        stayed = sum(member.stays for member in crowd)
        return {"taken": size - refused.total(), "refused": dict(refused), "stayed": stayed}
    finally:
        for member in crowd:
            member.leave()


async def main(seed: str, size: int, rounds: int, one_id: str, ports: list[int]) -> None:
    """Do all rounds."""
    chance = random.Random(seed)
    print(json.dumps([await come(chance, size, one_id, ports) for _ in range(rounds)]))


if __name__ == "__main__":
    asyncio.run(
        main(
            sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], [*map(int, sys.argv[5:])]
        )
    )
