"""Updates from devices to a dashboard on one node: how prompt they are, and what they cost."""

from __future__ import annotations

from benchmarks.figures import Goal
from benchmarks.loads.load import CPU, EVENTS, Load, alone, since
from benchmarks.servers.before import BEFORE
from benchmarks.servers.ours import GEVENT, MUSTER
from benchmarks.servers.peers import (
    ASGI,
    BUN_ACKED,
    CENTRIFUGO,
    CENTRIFUGO_BATCHES,
    FLASK,
    NODE_ACKED,
    NODE_BATCHED,
    NODE_REDIS,
    NODE_STREAMS,
)

QUICK = frozenset({"muster", "node-redis", "node-acked"})
SATURATED = {"devices": 20, "ack_every": 10}
#: Collects as we do, and acks after Redis has it.
SAME_PROMISE = ("node-acked", "bun-acked")
BEST = "CPU against the best Node or Bun peer with our promise"
#: They collect, too.
BATCHING = (NODE_ACKED, BUN_ACKED, NODE_BATCHED)

UPDATES = (
    Load(
        "calm",
        "40 events/s from 20 devices",
        alone(MUSTER, BEFORE, NODE_REDIS, CENTRIFUGO),
        (
            Goal("device to dashboard, p50 ms", "value", "p50_ms", 2),
            since("the same", "p50_ms", 6.7, 2),
            Goal("against Node + redis-adapter", "more", "p50_ms", 1.3, ("node-redis",)),
        ),
        ("p50_ms", "p99_ms", *CPU),
        {"devices": 20, "ack_every": 10, "rate": 40},
        quick=frozenset({"muster", "node-redis"}),
    ),
    Load(
        "saturated",
        "One sample per event, as fast as it goes, 20 devices, every 10th event acked",
        alone(MUSTER, BEFORE, *BATCHING, CENTRIFUGO, NODE_REDIS, NODE_STREAMS, ASGI, FLASK),
        (
            Goal("CPU per event", "value", "event_us", 4.5),
            since("the same", "event_us", 6.9, 4.5),
            Goal("of it the node", "value", "nodes_event_us", 3.3),
            Goal(BEST, "less", "event_us", 2, SAME_PROMISE),
            Goal("CPU against Node + redis-adapter", "less", "event_us", 10, ("node-redis",)),
        ),
        EVENTS,
        SATURATED,
        quick=QUICK,
    ),
    Load(
        "acked",
        "The same, every event acked",
        alone(MUSTER, BEFORE, *BATCHING, CENTRIFUGO, NODE_REDIS),
        (
            Goal("CPU per event", "value", "event_us", 4.8),
            since("the same", "event_us", 7.0, 4.8),
            Goal(BEST, "less", "event_us", 2, SAME_PROMISE),
        ),
        EVENTS,
        {**SATURATED, "ack_every": 1},
        quick=frozenset({"muster", "node-acked"}),
    ),
    Load(
        "rate",
        "4,000 events/s from 200 devices",
        alone(MUSTER, BEFORE, *BATCHING, CENTRIFUGO, NODE_REDIS),
        (
            Goal("CPU per event", "value", "event_us", 45),
            since("the same", "event_us", 70.8, 45),
            Goal(BEST, "less", "event_us", 1.5, SAME_PROMISE),
            Goal("CPU against Node + redis-adapter", "less", "event_us", 3, ("node-redis",)),
            Goal("device to dashboard, p50 ms", "value", "p50_ms", 8),
            since("the same", "p50_ms", 10.9, 8),
        ),
        EVENTS,
        {"devices": 200, "ack_every": 10, "rate": 4000},
        quick=QUICK,
    ),
    Load(
        "batches",
        "50 samples per event, as fast as it goes, 20 devices",
        alone(MUSTER, BEFORE, *BATCHING, CENTRIFUGO_BATCHES, NODE_REDIS),
        (
            Goal("CPU per sample", "value", "sample_us", 1.8),
            since("the same", "sample_us", 3.1, 1.8),
            Goal("CPU against Node + redis-adapter", "less", "event_us", 7, ("node-redis",)),
        ),
        ("sample_us", "nodes_sample_us", "redis_sample_us", "events_per_s", "p50_ms", "p99_ms"),
        {**SATURATED, "samples": 50, "window": 10, "ack_every": 5},
        quick=QUICK,
    ),
    Load(
        "gevent",
        "One sample per event, as fast as it goes: gevent compared with eventlet",
        alone(MUSTER, GEVENT),
        (
            Goal(
                *("CPU compared with eventlet", "beside", "event_us", 1.15, ("muster",)),
                contestant="muster-gevent",
            ),
        ),
        EVENTS,
        SATURATED,
    ),
)
