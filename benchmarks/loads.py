"""The loads: what each does to whom, and its goals. Nodes run with their default settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import Goal
from benchmarks.servers import (
    ASGI,
    FLASK,
    GEVENT,
    MUSTER,
    MUSTER_25,
    NODE_BATCHED,
    NODE_REDIS,
    NODE_STREAMS,
    Server,
)
from benchmarks.trial import Contestant


@dataclass(frozen=True)
class Load:
    """One load with its contestants, which take turns."""

    name: str
    title: str
    contestants: tuple[Contestant, ...]
    goals: tuple[Goal, ...]
    figures: tuple[str, ...]  #: shown, see trial.figures_of
    options: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "stream"
    rounds: int = 99  #: no more than these
    #: Those that also take their turn in a quick run; none: the load is left out there.
    quick: frozenset[str] = frozenset()


def _alone(*servers: Server) -> tuple[Contestant, ...]:
    return tuple(map(Contestant, servers))


QUICK = frozenset({"muster", "node-redis", "node-batched"})
SATURATED = {"devices": 20, "ack_every": 10}
CPU = ("event_us", "nodes_event_us", "redis_event_us")
EVENTS = (*CPU, "events_per_s", "p50_ms", "p99_ms")


def _other_node(server: Server) -> Contestant:
    """Devices on one node, a dashboard on another, nobody on the third."""
    nodes = ("devices_node", "dashboards_node", "unwatched_node")
    return Contestant(server, nodes, nodes[:1], nodes[1:2])


def _pair(server: Server) -> Contestant:
    nodes = ("node_1", "node_2")
    return Contestant(server, nodes, nodes, nodes)


def _many(count: int) -> Contestant:
    """So many nodes, each with 2,000 events/s of 100 devices of its own."""
    nodes = tuple(f"node_{number}" for number in range(1, count + 1))
    own = {"devices": 100 * count, "rate": 2000 * count}
    title = f"Muster, {count} node{'s' if count > 1 else ''}"
    return Contestant(MUSTER, nodes, nodes, nodes, own, (f"muster-{count}", title))


def _full(count: int) -> Contestant:
    """A Redis with so many sessions."""
    own = {"sessions": count}
    return Contestant(MUSTER, options=own, label=(f"sessions-{count}", f"Muster, {count:,}"))


MILLION = "sessions-1000000"

LOADS = (
    Load(
        "calm",
        "40 events/s from 20 devices",
        _alone(MUSTER, NODE_REDIS),
        (
            Goal("device to dashboard, p50 ms", "value", "p50_ms", 2),
            Goal("against Node + redis-adapter", "more", "p50_ms", 1.3, "node-redis"),
        ),
        ("p50_ms", "p99_ms", *CPU),
        {"devices": 20, "ack_every": 10, "rate": 40},
        quick=frozenset({"muster", "node-redis"}),
    ),
    Load(
        "saturated",
        "One sample per event, as fast as it goes, 20 devices, every 10th event acked",
        _alone(MUSTER, NODE_BATCHED, NODE_REDIS, NODE_STREAMS, ASGI, FLASK),
        (
            Goal("CPU per event", "value", "event_us", 4.5),
            Goal("of it the node", "value", "nodes_event_us", 3.3),
            Goal("CPU against Node + redis-adapter", "less", "event_us", 10, "node-redis"),
            Goal("CPU against Node with our batching", "less", "event_us", 2, "node-batched"),
        ),
        EVENTS,
        SATURATED,
        quick=QUICK,
    ),
    Load(
        "acked",
        "The same, every event acked",
        _alone(MUSTER, NODE_BATCHED, NODE_REDIS),
        (
            Goal("CPU per event", "value", "event_us", 4.8),
            Goal("CPU against Node with our batching", "less", "event_us", 2, "node-batched"),
        ),
        EVENTS,
        {**SATURATED, "ack_every": 1},
        quick=frozenset({"muster", "node-batched"}),
    ),
    Load(
        "rate",
        "4,000 events/s from 200 devices",
        _alone(MUSTER, NODE_BATCHED, NODE_REDIS),
        (
            Goal("CPU per event", "value", "event_us", 45),
            Goal("CPU against Node + redis-adapter", "less", "event_us", 3, "node-redis"),
            Goal("CPU against Node with our batching", "less", "event_us", 1.5, "node-batched"),
            Goal("device to dashboard, p50 ms", "value", "p50_ms", 8),
        ),
        EVENTS,
        {"devices": 200, "ack_every": 10, "rate": 4000},
        quick=QUICK,
    ),
    Load(
        "batches",
        "50 samples per event, as fast as it goes, 20 devices",
        _alone(MUSTER, NODE_BATCHED, NODE_REDIS),
        (
            Goal("CPU against Node + redis-adapter", "less", "event_us", 7, "node-redis"),
            Goal("CPU per sample", "value", "sample_us", 1.8),
        ),
        ("sample_us", "nodes_sample_us", "redis_sample_us", "events_per_s", "p50_ms", "p99_ms"),
        {**SATURATED, "samples": 50, "window": 10, "ack_every": 5},
        quick=QUICK,
    ),
    Load(
        "gevent",
        "One sample per event, as fast as it goes: gevent compared with eventlet",
        _alone(MUSTER, GEVENT),
        (
            Goal(
                "CPU compared with eventlet", "beside", "event_us", 1.15, "muster", "muster-gevent"
            ),
        ),
        EVENTS,
        SATURATED,
    ),
    Load(
        "other-node",
        "Devices on one node, as fast as it goes; a fleet dashboard on a second; no clients on a third",
        (_other_node(MUSTER), _other_node(NODE_REDIS)),
        (
            Goal("CPU of the dashboard's node per event", "value", "dashboards_node_us", 2),
            Goal("CPU of a node without dashboards", "value", "unwatched_node_us", 0.1),
        ),
        (
            *("event_us", "devices_node_us", "dashboards_node_us", "unwatched_node_us"),
            *("redis_event_us", "events_per_s", "p50_ms"),
        ),
        {"devices": 20, "ack_every": 10, "baseline": 3},
    ),
    Load(
        "dashboards",
        "4,000 events/s on one node to 100 dashboards, half each on two others",
        (
            Contestant(
                MUSTER,
                ("devices_node", "dashboards_node_1", "dashboards_node_2"),
                ("devices_node",),
                ("dashboards_node_1", "dashboards_node_2"),
            ),
        ),
        (Goal("CPU of both and of Redis per delivered sample", "value", "delivered_us", 0.4),),
        ("delivered_us", "nodes_delivered_us", "events_per_s", "p50_ms", "p99_ms"),
        {"devices": 200, "dashboards": 100, "ack_every": 10, "rate": 4000},
    ),
    Load(
        "idle",
        "2,000 connections that have registered and do nothing",
        (*_alone(MUSTER, NODE_REDIS), Contestant(MUSTER_25)),
        (
            Goal("memory per connection, kB", "value", "connection_kb", 7.5),
            Goal("CPU to connect and register", "more", "connect_us", 1.5, "node-redis"),
            Goal(
                *("CPU per second and connection at 25 s between pings, µs", "value"),
                *("idle_us_per_s", 2.3),
                contestant="muster-25",
            ),
        ),
        ("connection_kb", "idle_us_per_s", "connect_us", "nodes_connect_us", "redis_connect_us"),
        {"devices": 2000, "dashboards": 0, "baseline": 50},
        "idle",
    ),
    Load(
        "crowd",
        "50,000 connections that have registered and do nothing",
        (Contestant(MUSTER, files=110_000),),
        (
            Goal("memory per connection, kB", "value", "connection_kb", 7.5),
            Goal("CPU per second and connection, µs", "value", "idle_us_per_s", 2.3),
        ),
        ("connection_kb", "idle_us_per_s", "connect_us", "nodes_connect_us", "redis_connect_us"),
        {"devices": 50_000, "dashboards": 0, "baseline": 50},
        "idle",
        rounds=1,
    ),
    Load(
        "commands",
        "200 commands/s from a dashboard on one node to devices on the other, and their answers",
        (Contestant(MUSTER, ("node_1", "node_2"), ("node_1",), ("node_2",)),),
        (Goal("to the device and back, p50 ms", "value", "p50_ms", 2),),
        ("p50_ms", "p99_ms", "command_us", "nodes_command_us", "redis_command_us"),
        {"devices": 100, "rate": 200},
        "commands",
    ),
    Load(
        "storm",
        "5,000 devices reconnect at once to two nodes",
        (_pair(MUSTER), _pair(NODE_REDIS)),
        (Goal("all are registered, seconds", "more", "seconds", 1.2, "node-redis"),),
        ("seconds", "p50_ms", "p99_ms", "connect_us", "nodes_connect_us", "redis_connect_us"),
        {"devices": 5000, "dashboards": 0},
        "storm",
    ),
    Load(
        "nodes",
        "2,000 events/s from 100 devices on each node, with one node and with four",
        (_many(1), _many(4)),
        (Goal("CPU per event against one node", "more", "event_us", 1.1, "muster-1", "muster-4"),),
        (*CPU, "events_per_s"),
        {"dashboards": 0, "ack_every": 10, "baseline": 0},
    ),
    Load(
        "sessions",
        "Lists and registers with 1,000 and with 1,000,000 sessions in Redis",
        (_full(1_000), _full(1_000_000)),
        (
            Goal("a page of 100, p99 ms", "value", "page_p99_ms", 5, contestant=MILLION),
            Goal("the same by REST, p99 ms", "value", "rest_page_p99_ms", 5, contestant=MILLION),
            Goal(
                *("register, p99 against 1,000 sessions", "more", "register_p99_ms", 2),
                peer="sessions-1000",
                contestant=MILLION,
            ),
        ),
        (
            *("page_p50_ms", "page_p99_ms", "rest_page_p50_ms", "rest_page_p99_ms"),
            *("register_p50_ms", "register_p99_ms", "session_bytes"),
        ),
        mode="sessions",
        rounds=1,
    ),
)
