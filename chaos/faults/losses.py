"""Redis loses data: all of it, or what came after a backup. What the docs promise then is kept apart."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import redis

from chaos.faults.fault import DRAIN_CUT, JOB_FORGOTTEN, REDIS_AWAY, Fault
from chaos.journal import DataLost
from chaos.system import System
from service.archive import record
from service.archive.errors import BadRecord

_AOF = "appendonlydir"


def archived_counts(archive: Path) -> dict[str, dict[str, list[int]]]:
    """Return what the newest file of each session has: session → sender → counts."""
    newest: dict[str, record.Record] = {}
    for path in archive.glob("[0-9a-f]" * 4 + "/*.json.zst"):
        try:
            found = record.decode(path.read_bytes())
        except (BadRecord, FileNotFoundError):
            continue  # damaged by another fault, or replaced a moment ago
        other = newest.get(found.session_id)
        if other is None or (found.generation, found.rev) > (other.generation, other.rev):
            newest[found.session_id] = found
    return {
        session: {key: [value for value, _ in samples] for key, samples in one.body["data"].items()}
        for session, one in newest.items()
    }


async def flushed(system: System, chance: random.Random) -> str:
    """Empty Redis by FLUSHALL while all continues; then index the archive again, as the docs say."""
    await system.ready()
    kept = await asyncio.to_thread(archived_counts, system.archive)
    await asyncio.to_thread(system.client.flushall)
    system.journal.add(DataLost, -1.0, kept)
    await _knows_itself(system)
    return f"reindex: {await system.muster('archive', 'reindex')}"


async def _knows_itself(system: System, within_s: float = 20) -> None:
    """Wait until a node or worker has written the ids of service and archive again."""
    client: Any = system.client
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(client.hget, "muster:meta", "archive"):
            await asyncio.sleep(0.1)


async def restored(system: System, chance: random.Random) -> str:
    """Put an older copy of Redis's files in place, and a newer archive: the steps of the docs."""
    await system.ready()
    since = system.journal.now
    backup = await _copied(system)
    await asyncio.sleep(chance.uniform(3, 10))
    for process in system.service:
        process.send(signal.SIGTERM)
    for process in system.service:
        await process.ended()
    system.valkey.send(signal.SIGKILL)
    await system.valkey.ended()
    await asyncio.to_thread(_put_in_place, backup, system.folder / _AOF)
    kept = await asyncio.to_thread(archived_counts, system.archive)
    system.valkey.start()
    await system.redis_answers()
    done = await system.muster("archive", "reindex")
    system.journal.add(DataLost, since, kept)
    for process in system.service:
        process.start()
    await system.ready()
    return f"reindex: {done}"


async def fell_back(system: System, chance: random.Random) -> str:
    """Put an older copy of Redis's files in place while all continues, as when a replica takes over that was behind."""
    await system.ready()
    since = system.journal.now
    backup = await _copied(system)
    await asyncio.sleep(chance.uniform(1, 5))
    system.valkey.send(signal.SIGKILL)
    await system.valkey.ended()
    await asyncio.to_thread(_put_in_place, backup, system.folder / _AOF)
    system.journal.add(DataLost, since, await asyncio.to_thread(archived_counts, system.archive))
    system.valkey.start()
    await system.redis_answers()
    return f"reindex: {await system.muster('archive', 'reindex')}"


async def _copied(system: System) -> Path:
    await _rewritten(system.client)
    copy = system.folder / f"backup-{time.monotonic_ns()}"
    await asyncio.to_thread(shutil.copytree, system.folder / _AOF, copy)
    return copy


async def _rewritten(client: redis.Redis) -> None:
    asked: Any = client
    await asyncio.to_thread(asked.bgrewriteaof)
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0.1)
            about = await asyncio.to_thread(asked.info, "persistence")
            if not (about["aof_rewrite_in_progress"] or about["aof_rewrite_scheduled"]):
                return


def _put_in_place(copy: Path, place: Path) -> None:
    shutil.rmtree(place)
    copy.rename(place)


_SAID = (*REDIS_AWAY, *JOB_FORGOTTEN, *DRAIN_CUT)

FAULTS = [
    Fault("redis emptied", flushed, logged=_SAID, alone=True, loses_data=True),
    Fault("redis backup restored", restored, logged=_SAID, alone=True, loses_data=True),
    Fault("redis fell back", fell_back, logged=_SAID, alone=True, loses_data=True),
]
