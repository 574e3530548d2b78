"""What a run leaves behind: the journal, and the state of the service when all is quiet."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from chaos.journal import DataLost, Entry, Kind, Sent, read
from chaos.system import System, http
from chaos.wishes import BulkAsked, Ordered, Put

#: The indexes of which each session is in exactly one.
STATES = ("active", "inactive", "archived")
#: What PTTL says of a key that ended since it was listed.
GONE = -2
#: So often a node is asked for what is to be checked.
PATIENCE = 10
#: Files of a run that was kept.
JOURNAL, STATE = "journal.jsonl", "state.json"


@dataclasses.dataclass(slots=True)
class Evidence:
    """Everything that the checks look at; they ask nothing of the service themselves.

    Attributes:
        entries: The journal, in order.
        sessions: Id → answer of `GET /sessions/<id>`, histories included.
        commands: Id → rows of `GET /sessions/<id>/commands`.
        summaries: Id → row of `GET /sessions`.
        indexes: Partition's tag → state → ids.
        keys: Each key of Redis → milliseconds to its end; -1: it has none.
        files: Names of the files that the index of archived sessions names → whether they exist.
        views: Dashboard → what it knows in the end: id → summary.
        verified: What `muster archive verify` says.
        logs: Process → lines of its log that have level error, or are no JSON object.
        patterns: Key pattern of docs/redis.md → whether such keys have a TTL.
        explained: Patterns of error lines that the faults of this run explain.
        unfinished: What did not come to its end when the faults were over.
        leftovers: Process → what it holds → how much before the first client, and in the end.
        ttl_s: How long keys of a session live that are not renewed; 0: not looked at.
        held_ttls: Keys of sessions that are active → milliseconds to their end, …
        held_at: … at this moment of the journal.
    """

    entries: list[Entry]
    sessions: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    commands: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    summaries: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    indexes: dict[str, dict[str, list[str]]] = dataclasses.field(default_factory=dict)
    keys: dict[str, int] = dataclasses.field(default_factory=dict)
    files: dict[str, bool] = dataclasses.field(default_factory=dict)
    views: dict[str, dict[str, dict[str, Any]]] = dataclasses.field(default_factory=dict)
    verified: dict[str, Any] = dataclasses.field(default_factory=dict)
    logs: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    patterns: dict[str, bool] = dataclasses.field(default_factory=dict)
    explained: tuple[str, ...] = ()
    unfinished: list[str] = dataclasses.field(default_factory=list)
    leftovers: dict[str, dict[str, tuple[float, float]]] = dataclasses.field(default_factory=dict)
    ttl_s: float = 0.0
    held_ttls: dict[str, int] = dataclasses.field(default_factory=dict)
    held_at: float = 0.0

    def of(self, kind: type[Kind]) -> Iterator[Kind]:
        """Yield the journal's entries of a kind."""
        return iter([entry for entry in self.entries if entry.__class__ is kind])

    def write(self, folder: Path) -> None:
        """Keep all of it in a folder, so that it can be judged again."""
        self_without = dataclasses.replace(self, entries=[])
        (folder / STATE).write_text(json.dumps(dataclasses.asdict(self_without)))

    @classmethod
    def read(cls, folder: Path) -> Evidence:
        """Return what `write` kept, with the journal of the same run."""
        state = json.loads((folder / STATE).read_text())
        return cls(**{**state, "entries": read(folder / JOURNAL)})

    @property
    def last_loss(self) -> DataLost:
        """Return the last loss of data, or one before all else that lost nothing."""
        return max(self.of(DataLost), key=lambda loss: loss.at, default=DataLost(-1.0, -1.0, {}))

    def first_sent(self) -> dict[tuple[str, str, int], float]:
        """Return when each count left first: (device, sender, count) → time."""
        found: dict[tuple[str, str, int], float] = {}
        for sent in self.of(Sent):
            found.setdefault((sent.device, sent.sender, sent.count), sent.at)
        return found


def held(system: System) -> dict[str, dict[str, float]]:
    """Return what each process of the service has now: memory, descriptors, threads, children."""
    found: dict[str, dict[str, float]] = {}
    for process in system.service:
        looked_at = psutil.Process(process.pid)
        found[process.name] = {
            "MiB of memory": looked_at.memory_info().rss / 2**20,
            "descriptors": looked_at.num_fds(),
            "threads": looked_at.num_threads(),
            "children": len(looked_at.children(recursive=True)),
        }
    for node in system.nodes:
        found[node.process.name] |= node.gauges()
    return found


async def collect(evidence: Evidence, system: System) -> None:
    """Ask the service and Redis for the state that is to be checked."""
    port = system.nodes[0].own_port
    for summary in await asyncio.to_thread(all_summaries, port, patiently):
        evidence.summaries[summary["session_id"]] = summary
    mine = {entry.device for entry in evidence.of(Sent)}
    mine |= {entry.device for entry in evidence.of(Ordered)}
    mine |= {entry.device for entry in evidence.of(Put)}
    mine |= {device for entry in evidence.of(BulkAsked) for device in entry.devices}
    for session_id in mine & evidence.summaries.keys():
        path = f"/api/v1/sessions/{quote(session_id, safe='')}"
        evidence.sessions[session_id] = await asyncio.to_thread(patiently, port, path)
        rows = await asyncio.to_thread(patiently, port, f"{path}/commands")
        evidence.commands[session_id] = rows["commands"]
    await asyncio.to_thread(_read_redis, evidence, system)
    evidence.verified = await system.muster("archive", "verify")
    for process in system.service:
        evidence.logs[process.name] = _noteworthy(process.log)
    evidence.patterns = documented_keys()


def patiently(port: int, path: str) -> Any:
    """Return what a node answers to a GET; on a busy machine it may take several.

    Raises:
        OSError: There was no good answer after all.
    """
    for _ in range(PATIENCE - 1):
        try:
            return _asked(port, path)
        except OSError:
            time.sleep(0.5)
    return _asked(port, path)


def _asked(port: int, path: str) -> Any:
    status, answer, _ = http(port, "GET", path)
    if status != 200:
        raise OSError(f"GET {path}: {status} {answer}")
    return answer


def all_summaries(port: int, ask: Callable[[int, str], Any] = _asked) -> list[dict[str, Any]]:
    """Return all pages of `GET /sessions?state=all`."""
    found, cursor = [], ""
    while True:
        answer = ask(port, f"/api/v1/sessions?state=all&limit=500{cursor}")
        found += answer["sessions"]
        if not answer["next"]:
            return found
        cursor = "&cursor=" + quote(answer["next"], safe="")


def documented_keys(
    page: Path = Path(__file__).parents[1] / "docs" / "redis.md",
) -> dict[str, bool]:
    """Return the key patterns in the table of docs/redis.md, and whether they have a TTL."""
    row = r"^\| `(P:[^|]*)` \| [^|]* \| ([^|]*)\| .*\|$"  # of four cells: other tables have fewer
    rows = re.findall(row, page.read_text(), re.MULTILINE)
    return {pattern: bool(ttl.strip()) for pattern, ttl in rows}


def _read_redis(evidence: Evidence, system: System) -> None:
    client: Any = system.client
    for name in client.scan_iter(count=1000):
        ttl_ms = client.pttl(name)
        if ttl_ms != GONE:
            evidence.keys[name] = ttl_ms
    tags = {m[0] for name in evidence.keys if (m := re.match(r"muster:\{[^}]*\}:", name))}
    for tag in tags:
        evidence.indexes[tag] = {state: client.zrange(tag + state, 0, -1) for state in STATES}
        for name in client.hvals(tag + "archive_names"):
            evidence.files[name] = (system.archive / name).exists()


def _noteworthy(log: Path) -> list[str]:
    lines = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("level") in ("error", "critical"):
            lines.append(line)
    return lines
