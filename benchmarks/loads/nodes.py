"""Several nodes: what one costs the others, commands between them, and devices that all come back."""

from __future__ import annotations

from benchmarks.figures import Goal
from benchmarks.loads.load import CPU, Load, since
from benchmarks.running.trial import Contestant
from benchmarks.servers.before import BEFORE
from benchmarks.servers.ours import MUSTER
from benchmarks.servers.peers import NODE_REDIS
from benchmarks.servers.server import Server


def _other_node(server: Server) -> Contestant:
    """Devices on one node, a dashboard on another, nobody on the third."""
    nodes = ("devices_node", "dashboards_node", "unwatched_node")
    return Contestant(server, nodes, nodes[:1], nodes[1:2])


def _crowd(server: Server) -> Contestant:
    """Devices on one node, and half of the dashboards each on two others."""
    dashboards = ("dashboards_node_1", "dashboards_node_2")
    return Contestant(server, ("devices_node", *dashboards), ("devices_node",), dashboards)


def _across(server: Server) -> Contestant:
    """Devices on one node, who commands them on the other."""
    return Contestant(server, ("node_1", "node_2"), ("node_1",), ("node_2",))


def _pair(server: Server) -> Contestant:
    nodes = ("node_1", "node_2")
    return Contestant(server, nodes, nodes, nodes)


def _many(count: int) -> Contestant:
    """So many nodes, each with 2,000 events/s of 100 devices of its own."""
    nodes = tuple(f"node_{number}" for number in range(1, count + 1))
    own = {"devices": 100 * count, "rate": 2000 * count}
    title = f"Muster, {count} node{'s' if count > 1 else ''}"
    return Contestant(MUSTER, nodes, nodes, nodes, own, (f"muster-{count}", title))


NODES = (
    Load(
        "other-node",
        "Devices on one node, as fast as it goes; a fleet dashboard on a second; no clients on a third",
        (_other_node(MUSTER), _other_node(BEFORE), _other_node(NODE_REDIS)),
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
        (_crowd(MUSTER), _crowd(BEFORE)),
        (
            Goal("CPU of both and of Redis per delivered sample", "value", "delivered_us", 0.4),
            since("the same", "delivered_us", 1, 1),
        ),
        ("delivered_us", "nodes_delivered_us", "events_per_s", "p50_ms", "p99_ms"),
        {"devices": 200, "dashboards": 100, "ack_every": 10, "rate": 4000},
    ),
    Load(
        "commands",
        "200 commands/s from a dashboard on one node to devices on the other, and their answers",
        (_across(MUSTER), _across(BEFORE)),
        (
            Goal("to the device and back, p50 ms", "value", "p50_ms", 2),
            since("the same", "p50_ms", 3.1, 2),
        ),
        ("p50_ms", "p99_ms", "command_us", "nodes_command_us", "redis_command_us"),
        {"devices": 100, "rate": 200},
        "commands",
    ),
    Load(
        "storm",
        "5,000 devices reconnect at once to two nodes",
        (_pair(MUSTER), _pair(BEFORE), _pair(NODE_REDIS)),
        (Goal("all are registered, seconds", "more", "seconds", 1.2, ("node-redis",)),),
        ("seconds", "p50_ms", "p99_ms", "connect_us", "nodes_connect_us", "redis_connect_us"),
        {"devices": 5000, "dashboards": 0},
        "storm",
    ),
    Load(
        "nodes",
        "2,000 events/s from 100 devices on each node, with one node and with four",
        (_many(1), _many(4)),
        (
            Goal(
                "CPU per event against one node", "more", "event_us", 1.1, ("muster-1",), "muster-4"
            ),
        ),
        (*CPU, "events_per_s"),
        {"dashboards": 0, "ack_every": 10, "baseline": 0},
    ),
)
