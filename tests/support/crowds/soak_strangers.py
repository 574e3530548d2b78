"""What a crowd without a login costs a fleet; not part of any gate.

    python -m tests.support.crowds.soak_strangers [strangers] [devices] [seconds] [road] [kind …]

A node with a login serves the devices, each with an update per second, first alone and then beside the crowd
of `tests.support.crowds.hostile_crowd`. Prints acks, devices that left, the node's memory, with and without, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import RealServer
from tests.support.clients.logins import LOGIN, token
from tests.support.nodes.node_processes import ROOT, Cluster, NodeProcess, road
from tests.support.waiting import wait_until


def peak_mib(node: NodeProcess) -> float:
    """The most memory that a node has had."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def run(
    node: NodeProcess, *, strangers: int, devices: int, seconds: float, kinds: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The fleet beside so many strangers: the summary of `muster simulate`, the crowd's, the node's peak."""
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "MUSTER_TOKEN": token("admin")}
    fleet = [sys.executable, "-m", "service.cli", "simulate", "-n", str(devices), "--rate", "1"]
    fleet += ["--seconds", str(seconds), "--json", "--wait", "30", "--url", node.url]
    before = peak_mib(node)
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        simulate = subprocess.Popen(
            [*fleet, "--prefix", f"of-{strangers}-"],
            env=base,
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        processes.append(simulate)
        crowd = None
        try:
            if strangers:
                wait_until(lambda: device_count(node) >= devices, 30, what="the fleet is there")
                argv = [sys.executable, "-m", "tests.support.crowds.hostile_crowd", str(node.port)]
                crowd = subprocess.Popen(
                    [*argv, str(strangers), str(seconds), *kinds],
                    cwd=ROOT,
                    text=True,
                    stdout=subprocess.PIPE,
                )
                processes.append(crowd)
            out, errors = simulate.communicate(timeout=seconds + 90)
            assert simulate.returncode in (0, 1), errors
            summary: dict[str, Any] = json.loads(out)
            if crowd is not None:
                summary["crowd"] = json.loads(crowd.communicate(timeout=30)[0])
        finally:
            for process in processes:
                process.kill()
                process.wait(10)
    summary["grown_mib"] = round(peak_mib(node) - before, 1)
    return summary


def figure(node: NodeProcess, name: str) -> float:
    """One of the node's figures, all its labels together."""
    lines = node.get("/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def device_count(node: NodeProcess) -> float:
    return figure(node, "muster_devices ")


def main() -> None:
    strangers, devices = int(sys.argv[1]), int(sys.argv[2])
    seconds, mode, kinds = float(sys.argv[3]), sys.argv[4], tuple(sys.argv[5:])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = RealServer(folder / "valkey")
        server.start()
        cluster = Cluster(server, folder, {**LOGIN, **road(mode), "node.metrics": "public"})
        try:
            node = cluster.start()[0]
            size = {"devices": devices, "seconds": seconds}
            alone = run(node, strangers=0, **size)
            beside = run(node, strangers=strangers, **size, kinds=kinds)
            figures = [line for line in node.get("/metrics")[1].splitlines() if "unauth" in line]
            print(json.dumps({"alone": alone, "beside": beside, "figures": figures}, indent=1))
            print(node.tail(2000), file=sys.stderr)
        finally:
            cluster.close()
            server.kill()


if __name__ == "__main__":
    main()
