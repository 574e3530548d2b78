"""Connections that do nothing: what each takes."""

from __future__ import annotations

from benchmarks.figures import Goal
from benchmarks.loads.load import Load, alone
from benchmarks.running.trial import Contestant
from benchmarks.servers.ours import MUSTER, MUSTER_25
from benchmarks.servers.peers import CENTRIFUGO, NODE_REDIS

FIGURES = ("connection_kb", "idle_us_per_s", "connect_us", "nodes_connect_us", "redis_connect_us")
CROWD = 50_000

CONNECTIONS = (
    Load(
        "idle",
        "2,000 connections that have registered and do nothing",
        alone(MUSTER, MUSTER_25, CENTRIFUGO, NODE_REDIS),
        (
            Goal("memory per connection, kB", "value", "connection_kb", 7.5),
            Goal(
                *("CPU per second and connection with 25 s between pings, µs", "value"),
                *("idle_us_per_s", 2.3),
                contestant="muster-25",
            ),
            Goal("the same with our 10 s between pings, µs", "value", "idle_us_per_s", 2.3),
            Goal("CPU to connect and register", "more", "connect_us", 1.5, ("node-redis",)),
        ),
        FIGURES,
        {"devices": 2000, "dashboards": 0, "baseline": 50},
        "idle",
    ),
    Load(
        "crowd",
        "50,000 connections that have registered and do nothing",
        (Contestant(MUSTER, files=110_000), Contestant(CENTRIFUGO, files=110_000)),
        (
            Goal("memory per connection, kB", "value", "connection_kb", 7.5),
            Goal("CPU per second and connection, µs", "value", "idle_us_per_s", 2.3),
        ),
        FIGURES,
        {"devices": CROWD, "dashboards": 0, "baseline": 50},
        "idle",
        rounds=1,
    ),
)
