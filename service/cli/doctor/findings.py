"""What `muster doctor` looks at, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import redis

from service.config.loader import Config
from service.sessions.store.keys import Keys

Verdict = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What one check saw."""

    check: str
    verdict: Verdict
    seen: str
    #: How to fix it; empty when all is well.
    mend: str = ""


@dataclass(frozen=True)
class Queue:
    """The queue of jobs."""

    counts: dict[str, int]
    #: For how long the next job has waited, s; None: none waits.
    oldest_s: float | None


@dataclass(frozen=True)
class Archive:
    """The archive, as this machine sees it."""

    #: Why it cannot be had; "": it can; None: there is none.
    wrong: str | None
    #: Where it is; "" where it is no folder of this machine.
    folder: str = ""
    #: Files in quarantine.
    quarantined: int = 0


@dataclass(frozen=True)
class Patient:
    """What the checks look at."""

    client: redis.Redis
    info: dict[str, Any]
    config: Config
    now_ms: int
    nodes: list[dict[str, str]]
    workers: list[dict[str, str]]
    upkeep: dict[str, str]
    queue: Queue
    archive: Archive = field(default_factory=lambda: Archive(None))

    @property
    def quarantine(self) -> str:
        """Key of what was found in the queue and is no job."""
        return Keys(self.config.redis.key_prefix).quarantined_jobs

    def processes(self) -> list[tuple[str, dict[str, str]]]:
        """Return nodes and workers by their names."""
        named = [*((n.get("node_id", ""), n) for n in self.nodes)]
        return named + [(w.get("worker", ""), w) for w in self.workers]
