"""How many functions a node calls for each event of a load: `python -m benchmarks.calls calm`.

Times of a virtual machine vary by half; these counts do not vary at all. What a node does in the moment in which an
event comes is mostly Python that is not in the processor's caches, so that calls are what it costs.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks import building
from benchmarks.__main__ import run
from benchmarks.loads.all import LOADS
from benchmarks.running.trial import Contestant

INJECT = Path(__file__).parent / "inject"
#: What is called once for each event, of one or the other node: an update, a command, a connection, a ping.
EVENTS = (
    "Ingest._stored ingest/ingest.py",
    "CommandStore.take store/commands.py",
    "Dashboards.send_command sockets/dashboards.py",
    "EngineConnections._new_sid upstream/connections.py",
    "Deadlines._ping upstream/deadlines.py",
)
#: After the load has begun; and for how long is counted.
BEGIN_S, COUNT_S = 1.5, 2.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=__doc__)
    names = [load.name for load in LOADS if any(c.name == "muster" for c in load.contestants)]
    parser.add_argument("load", choices=names)
    parser.add_argument("--top", type=int, default=40, help="functions that are listed")
    options = parser.parse_args()
    try:
        found = count(options.load)
    except building.Missing as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        return 1
    for node, calls in enumerate(found, 1):
        events = max(calls[name] for name in EVENTS)
        print(f"node {node}: {events} events, {calls.total()} calls", end="")
        print(f", {calls.total() / events:.1f} an event" if events else "")
        for name, number in calls.most_common(options.top):
            print(f"{number / max(1, events):10.2f}  {name}")
    return 0


def count(name: str) -> list[Counter[str]]:
    """Count the calls of each node of our own in a load, by function, for some seconds.

    Raises:
        building.Missing: the load generator cannot be built.
    """
    cores = building.cores()
    building.generator()
    (load,) = (load for load in LOADS if load.name == name)
    (ours,) = (one for one in load.contestants if one.name == "muster")
    with tempfile.TemporaryDirectory(prefix="muster-calls-") as folder:
        path = Path(folder) / "calls"
        traced = traced_as(ours, path)
        counting = threading.Thread(target=toggle_when_loaded, args=(path,))
        counting.start()
        run(load, traced, BEGIN_S + COUNT_S + 2, cores)
        counting.join()
        return [Counter(json.loads(one.read_text())) for one in sorted(path.parent.glob("calls.*"))]


def traced_as(ours: Contestant, path: Path) -> Contestant:
    """Return the contestant whose nodes count."""
    server = ours.server
    environment = server.environment | {
        "PYTHONPATH": f"{INJECT}:{server.environment['PYTHONPATH']}",
        "COUNT_CALLS_TO": str(path),
    }
    return replace(ours, server=replace(server, environment=environment))


def toggle_when_loaded(path: Path) -> None:
    """Let the nodes count for a while once the generator runs."""
    generator = str(building.BUILD / "load")
    deadline = time.monotonic() + 60
    while not children(generator):
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    time.sleep(BEGIN_S)
    nodes = children("node_process")
    for pause_s in (COUNT_S, 0):
        for node in nodes:
            node.send_signal(signal.SIGUSR2)
        time.sleep(pause_s)
    while len(list(path.parent.glob("calls.*[0-9]"))) < len(nodes) and any(
        node.is_running() for node in nodes
    ):
        time.sleep(0.05)


def children(word: str) -> list[psutil.Process]:
    """Return the processes of this one with this word in their command."""
    found = []
    for one in psutil.Process().children(recursive=True):
        try:
            if any(word in part for part in one.cmdline()):
                found.append(one)
        except psutil.Error:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
