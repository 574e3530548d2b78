"""Whole fleets, as they are: what each takes of a node and of Redis."""

from __future__ import annotations

from benchmarks.loads.load import Load
from benchmarks.running.trial import Contestant
from benchmarks.servers.ours import MUSTER


def _fleet(name: str, title: str, devices: int, rate: float, samples: int = 1) -> Contestant:
    """So many devices that send so many events a second in all; a node and a dashboard."""
    own = {"devices": devices, "rate": round(rate, 3), "samples": samples, "window": 10}
    return Contestant(MUSTER, options=own, label=(name, title), files=devices + 1000)


FLEETS = (
    Load(
        "fleets",
        "Three fleets on one node, every event acked, watched by a dashboard",
        (
            _fleet("sensors", "10,000 sensors, one sample a minute", 10_000, 10_000 / 60),
            _fleet("kiosks", "1,000 kiosks, one sample a second", 1_000, 1_000),
            _fleet("cars", "40 race cars, 50 samples a second in events of 10", 40, 200, 10),
        ),
        (),
        ("nodes_percent", "redis_percent", "nodes_mb", "redis_mb", "p50_ms", "p99_ms"),
        {"ack_every": 1},
        rounds=3,
        seconds=20,  # two pings of each connection
    ),
)
