"""Connections that do nothing: what each takes."""

from __future__ import annotations

import resource

from benchmarks.figures import Goal
from benchmarks.loads.load import Load, alone, since
from benchmarks.running.trial import Contestant
from benchmarks.servers.before import BEFORE
from benchmarks.servers.ours import MUSTER, MUSTER_25
from benchmarks.servers.peers import CENTRIFUGO, NODE_REDIS

FIGURES = ("connection_kb", "idle_us_per_s", "connect_us", "nodes_connect_us", "redis_connect_us")
#: Files that a process may open: only root may raise that, and not everywhere.
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
#: What a node needs besides its connections is far below a tenth.
CROWD = min(50_000, FILES * 9 // 10) if FILES > 0 else 50_000
AT_25 = ("CPU per second with 25 s between pings, µs", "value", "idle_us_per_s", 2.3)
AT_OURS = ("the same with our 10 s between pings, µs", "value", "idle_us_per_s", 2.3)

CONNECTIONS = (
    Load(
        "idle",
        "2,000 connections that have registered and do nothing",
        alone(MUSTER, MUSTER_25, BEFORE, CENTRIFUGO, NODE_REDIS),
        (
            Goal("memory per connection, kB", "value", "connection_kb", 7.5),
            since("the same", "connection_kb", 7.1, 7.5),
            Goal(*AT_25, contestant="muster-25"),
            Goal(*AT_OURS),
            Goal("CPU to connect and register", "more", "connect_us", 1.5, ("node-redis",)),
        ),
        FIGURES,
        {"devices": 2000, "dashboards": 0, "baseline": 50},
        "idle",
    ),
    Load(
        "crowd",
        f"{CROWD:,} connections that have registered and do nothing",
        tuple(Contestant(one, files=CROWD * 10 // 9) for one in (MUSTER, MUSTER_25, CENTRIFUGO)),
        (
            Goal("memory per connection, kB", "value", "connection_kb", 7.5),
            Goal(*AT_25, contestant="muster-25"),
            Goal(*AT_OURS),
        ),
        FIGURES,
        {"devices": CROWD, "dashboards": 0, "baseline": 50},
        "idle",
        rounds=1,
    ),
)
