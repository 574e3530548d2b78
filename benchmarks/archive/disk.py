"""How fast files get onto the disk: records in batches, against a plain loop.

The plain loop writes one file after the other: temporary file, fsync, rename (in one folder, without
fsync of the folder: the least that anybody does). It writes the sessions' JSON, and in a second form the
bytes of the archive's files, which are a fraction of that and cost it no encoding. The worker encodes
records and puts them in batches, with the shared sync of the file system and without. Rounds take turns,
so that what else the machine does hits all alike.
"""

from __future__ import annotations

import os
import random
import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from service.archive import durable
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archive.record import Record, encode


def make_record(number: int, size: int, chooser: random.Random) -> Record:
    """A session with about `size` bytes of histories, timeline and setup; no two alike."""
    data: dict[str, list[list[float]]] = {}
    room = size - 700
    key = 0
    while room > 0:
        count = min(100, room // 32 + 1)
        start = 1_763_600_000 + chooser.random()
        samples = [[round(chooser.gauss(50, 20), 2), round(start + n, 3)] for n in range(count)]
        data[f"reading_{key}"] = samples
        room -= len(orjson.dumps(samples))
        key += 1
    body = {
        "data": data,
        "setup": {"interval_s": 5, "name": secrets.token_hex(8)},
        "timeline": [{"event": "connected", "at": 1_763_600_000_000 + n} for n in range(10)],
    }
    summary = {"session_name": f"device {number}", "project_id": "bench", "rev": str(number)}
    return Record(f"device-{number:08d}", 1_763_600_000_000, number, 1, summary, body)


def plain_loop(folder: Path, files: list[bytes]) -> float:
    """Seconds for each: write, fsync, rename."""
    target = folder / "plain"
    target.mkdir()
    began = time.perf_counter()
    for number, data in enumerate(files):
        temporary = target / f".{number}.tmp"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target / str(number))
    return time.perf_counter() - began


def one_worker(folder: Path, sessions: list[Record], batch: int, share_sync: bool) -> float:
    """Seconds for all of them, from records to durable files."""
    store = FileArchiveStore(folder / "archive", share_sync=share_sync)
    store.open(store.claim())
    archive = Archive(store)
    began = time.perf_counter()
    for start in range(0, len(sessions), batch):
        archive.save(sessions[start : start + batch])
    took = time.perf_counter() - began
    assert len(store.list(limit=len(sessions) + 1)) == len(sessions)
    return took


def measure(folder: Path, size: int, count: int, batch: int, rounds: int) -> dict[str, object]:
    """Sessions per second of each way, best first."""
    chooser = random.Random(size)
    sessions = [make_record(number, size, chooser) for number in range(count)]
    began = time.perf_counter()
    files = [encode(one) for one in sessions]
    encoding = time.perf_counter() - began
    texts = [orjson.dumps(one.body) for one in sessions]
    with durable.folder(folder) as root:
        can_share = durable.can_sync_all(root)
    ways: dict[str, Callable[[Path], float]] = {
        "plain loop of JSON": lambda place: plain_loop(place, texts),
        "plain loop of files": lambda place: plain_loop(place, files),
        "worker, own syncs": lambda place: one_worker(place, sessions, batch, share_sync=False),
    }
    if can_share:
        ways["worker, shared sync"] = lambda place: one_worker(
            place, sessions, batch, share_sync=True
        )
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        # every round in new folders, and none removed before the end: ext4 is slow at giving an
        # inode that was freed just before, which would slow whoever comes next
        for way, run in ways.items():
            place = folder / f"{number}-{size}-{way.replace(' ', '-')}"
            place.mkdir()
            os.sync()
            rates[way].append(count / run(place))
    return {
        "json_bytes": round(statistics.mean(map(len, texts))),
        "file_bytes": round(statistics.mean(map(len, files))),
        "encoded_per_s": round(count / encoding),
        "per_s": {
            way: {
                "best": round(max(values)),
                "lowest": round(min(values)),
                **{
                    f"of_{plain.replace(' ', '_')}": round(max(values) / max(rates[plain]), 2)
                    for plain in ways
                    if plain.startswith("plain")
                },
            }
            for way, values in rates.items()
        },
    }
