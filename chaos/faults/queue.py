"""Entries that are no jobs come into the queue of jobs."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from typing import Any

import redis

from chaos.faults.fault import Fault
from chaos.system import System

_RQ = "rq:queue:muster"
#: What an entry's record may be: nothing, what is no record, a call of something else.
_CALLS: tuple[Any, ...] = (
    ["os.system", None, ["true"], {}],
    ["workers.jobs.archive_sessions", None, [[["a"] * 50]], {}],
    ["workers.jobs.no_such", None, [], {}],
    "no call",
)


async def strange_entries(system: System, chance: random.Random) -> str:
    """Put some in front of the others."""
    count = chance.randint(1, 10)

    def put() -> None:
        client: Any = system.client
        for _ in range(count):
            name = f"strange-{chance.randrange(10**9)}"
            if chance.random() < 0.7:
                data = zlib.compress(json.dumps(chance.choice(_CALLS)).encode())
                record = {"data": data, "created_at": "2026-11-20T09:26:32.054Z"}
                client.hset(f"rq:job:{name}", mapping=record | {"origin": "muster"})
            client.rpush(_RQ, name)

    try:
        await asyncio.to_thread(put)
    except redis.RedisError:
        pass  # it is down by another fault
    return f"{count}"


#: One that calls a job with nonsense is a job, and fails.
SAID = ("no job and went to quarantine", "job strange-[0-9]+: exception raised while executing")

FAULTS = [Fault("strange jobs", strange_entries, logged=SAID)]
