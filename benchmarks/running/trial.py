"""One run of one load against one server: start all, load it, prove what arrived, end all."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from benchmarks import building
from benchmarks.running.processes import Processes, answers_http, on_core
from benchmarks.servers.server import Server
from benchmarks.servers.stored import Sent
from service.cli.local.embedded import free_port

#: How long Redis may lag behind acks that come before it has the samples.
LAG_S = 5.0
#: A run that takes longer has stopped.
LIMIT_S = 900
#: Of a device, if the load does not say it.
KEYS = 4


@dataclass(frozen=True)
class Contestant:
    """A server in a load: how many nodes of it, and who connects where."""

    server: Server
    nodes: tuple[str, ...] = ("node",)
    devices_on: tuple[str, ...] = ("node",)
    dashboards_on: tuple[str, ...] = ("node",)
    #: Options of the generator that differ from those of the load.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Where a server takes part more than once: (name, title).
    label: tuple[str, str] | None = None
    #: Files that a node and the generator must be able to open, if that is more than usual.
    files: int = 0

    @property
    def name(self) -> str:
        """Short and unique within a load."""
        return self.label[0] if self.label else self.server.name

    @property
    def title(self) -> str:
        """For people."""
        return self.label[1] if self.label else self.server.title


@dataclass(frozen=True)
class Result:
    """What a run has shown."""

    figures: dict[str, float]
    problems: list[str]  #: anything that is missing where it should be


def run(
    contestant: Contestant, mode: str, options: Mapping[str, Any], core: int, load_core: int
) -> Result:
    """Runs a load once.

    Args:
        contestant: what is loaded.
        mode: of the generator.
        options: of the generator, without ports and processes.
        core: for the server's nodes.
        load_core: for generator and Redis.

    Raises:
        NotStarted: a server did not answer.
    """
    program = building.generator()
    own = {**options, **contestant.options}
    with (
        tempfile.TemporaryDirectory(prefix="muster-bench-") as name,
        Processes(Path(name)) as processes,
    ):
        store_process, client = processes.start_redis(load_core)
        redis_port = client.connection_pool.connection_kwargs["port"]
        ports, watched = {}, {"redis": store_process.pid}
        for node in contestant.nodes:
            ports[node] = free_port()
            argv = contestant.server.argv(ports[node], redis_port)
            started = processes.start(node, argv, core, contestant.server.environment)
            watched[node] = started.pid
            path, ours = contestant.server.ready_path, contestant.server.is_ours
            port = ports[node]
            processes.wait(node, started, lambda: answers_http(port, path, any_status=not ours))  # noqa: B023
        argv = [
            str(program),
            mode,
            f"--device-ports={_ports(ports, contestant.devices_on)}",
            f"--dashboard-ports={_ports(ports, contestant.dashboards_on)}",
            f"--watch={','.join(f'{n}={pid}' for n, pid in watched.items())}",
            *_flags(
                {"window": contestant.server.window, "dialect": contestant.server.dialect} | own
            ),
        ]
        try:
            with on_core(load_core):
                done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            return Result({}, [f"the load did not end within {LIMIT_S} s"])
        if done.returncode:
            logs = "".join(processes.tail(node) for node in contestant.nodes)
            return Result({}, [f"{done.stderr.strip()[-300:]} {logs[-300:]}".strip()])
        found = json.loads(done.stdout)
        figures = figures_of(found, contestant)
        problems = problems_of(found) + done.stderr.splitlines()[:3]
        if mode == "stream":
            sent = Sent(found["sent"], own.get("keys", KEYS), own.get("samples", 1))
            problems += missing(client, contestant.server, sent)
        client.close()
    return Result(figures, problems)


def _ports(ports: Mapping[str, int], nodes: tuple[str, ...]) -> str:
    return ",".join(str(ports[node]) for node in nodes)


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    return (f"--{name.replace('_', '-')}={value}" for name, value in options.items())


def figures_of(found: Mapping[str, Any], contestant: Contestant) -> dict[str, float]:
    """What is compared, from what the generator printed; names carry units.

    CPU is that of the server's nodes and Redis together, per event, sample, delivered sample, command
    or connection; `nodes_…` is without Redis, `redis_…` that of Redis. `<node>_us` is that of one of
    the nodes per event, less what it uses at rest. `…_percent` is the part of a core that the whole load takes.
    """
    processes, seconds = found["processes"], found["seconds"]
    cpu = {name: process["cpu_us"] for name, process in processes.items()}
    nodes_us = sum(cpu[node] for node in contestant.nodes)
    at_rest = found.get("baseline_us_per_s", {})

    def per(what: str, count: int) -> dict[str, float]:
        parts = {"": nodes_us + cpu["redis"], "nodes_": nodes_us, "redis_": cpu["redis"]}
        return {f"{part}{what}_us": us / max(1, count) for part, us in parts.items()}

    figures = {"seconds": seconds, "p50_ms": found["p50_ms"], "p99_ms": found["p99_ms"]}
    if found["mode"] == "stream":
        events, samples = found["events"], found["samples"]
        figures |= {
            "events_per_s": events / seconds,
            **per("event", events),
            **per("sample", samples),
            "generator_event_us": found["generator_us"] / events,
            "nodes_percent": nodes_us / seconds / 1e4,
            "redis_percent": cpu["redis"] / seconds / 1e4,
            "nodes_mb": sum(processes[node]["memory_kb"] for node in contestant.nodes) / 1024,
            "redis_mb": processes["redis"]["memory_kb"] / 1024,
        }
        if found["delivered"]:
            shown_us = sum(cpu[node] for node in contestant.dashboards_on)
            figures["nodes_delivered_us"] = shown_us / found["delivered"]
            figures["delivered_us"] = (shown_us + cpu["redis"]) / found["delivered"]
        for node in contestant.nodes:
            figures[f"{node}_us"] = (cpu[node] - at_rest[node] * seconds) / events
    elif found["mode"] == "commands":
        figures |= per("command", found["commands"])
    else:
        count = found["connections"]
        grown = sum(processes[node]["memory_grown_kb"] for node in contestant.nodes)
        figures |= {"connection_kb": grown / count, **per("connect", count)}
        if at_rest:
            figures["idle_us_per_s"] = sum(at_rest.values()) / count
    return figures


def problems_of(found: Mapping[str, Any]) -> list[str]:
    """What clients missed or were refused."""
    wrong = ("failed", "errors", "conflated")
    problems = [f"{name}: {found[name]}" for name in wrong if found.get(name)]
    for have, want in (
        ("complete_dashboards", "dashboards"),
        ("acks", "expected_acks"),
        ("registered", "connections"),
        ("answered", "commands"),
        ("acted", "commands"),
    ):
        if have in found and found[have] != found[want]:
            problems.append(f"{have}: {found[have]} of {found[want]}")
    return problems


def missing(client: redis.Redis, server: Server, sent: Sent) -> list[str]:
    """What is not in Redis of what devices sent; waits for what is under way."""
    deadline = time.monotonic() + LAG_S
    while True:
        problems = server.missing(client, sent)
        if not problems or time.monotonic() > deadline:
            return problems
        time.sleep(0.1)
