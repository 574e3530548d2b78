"""The archive as one of the loads of `make bench`: sessions of 100 kB, on the disk of this tree."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.archive import worker
from benchmarks.building import BUILD
from benchmarks.running.trial import Result

BYTES, SESSIONS, BATCH = 100_000, 1000, 500


def run() -> Result:
    """One round; worker and plain loop take turns batch by batch."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="archive-", dir=BUILD) as name:
        found = worker.measure(Path(name), BYTES, SESSIONS, BATCH, rounds=1)
    figures = {
        "archived_per_s": found["archived_per_s"]["median"],
        "loop_per_s": found["plain_loop_per_s"]["median"],
        "loop_part": found["of_plain_loop"]["median"],
        "restore_p50_ms": found["restore_ms"]["p50"],
        "restore_p99_ms": found["restore_ms"]["p99"],
    }
    return Result(figures, [])
