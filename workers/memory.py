"""Memory pressure: sessions go to the archive early, the longest inactive first.

Two things are watched: the memory of this machine, or of this container if it has less, and `used_memory` of
Redis against its `maxmemory`. Above the high mark sessions are archived until the low one is reached, no more
of them are inactive, or the disk refuses. Active sessions are never touched, and nothing is dropped.

`relieve_memory_pressure` is a job. When Redis answers OOM nothing can be enqueued, and the worker's own
loop (`watch`) runs the same, a little at a time: archive_commit frees memory with its first write, so it
succeeds then too. Where Redis returns memory to the machine late or not at all, archiving does not help the
machine; the run then ends when nothing is left to archive, and nothing is lost by it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from service import errors
from service.archiving.archiver import Archiver
from service.config.settings import MemorySettings
from service.manager.manager import SessionManager
from service.observability.host_memory import available_percent
from service.sessions.store.store import RedisSessionStore
from workers.archive import Outcome, archive_all

log = logging.getLogger(__name__)

#: Available memory of the machine at which it is relieved, in parts of `min_available_percent`.
RELIEVED_PART = 1.5
#: Sessions between two readings of the memory: few at first, because that may be enough, then more.
FIRST_BATCH, LARGEST_BATCH = 8, 256
#: How long Redis may take to free what was removed, s.
FREEING_S = 0.2


@dataclass(frozen=True)
class Reading:
    """Memory at one moment."""

    available_percent: float  #: of this machine
    redis_percent: float | None  #: of `maxmemory`; None: there is none

    def shown(self) -> dict[str, float | None]:
        return {name: v if v is None else round(v, 1) for name, v in asdict(self).items()}


def read_memory(store: RedisSessionStore) -> Reading:
    """Read the memory of this machine or container, and of Redis; wait while Redis is still freeing."""
    deadline = time.monotonic() + FREEING_S
    while True:
        memory = store.upkeep.redis_memory()
        if not memory.freeing or time.monotonic() >= deadline:
            return Reading(available_percent(), memory.percent)
        time.sleep(0.01)


def is_high(reading: Reading, marks: MemorySettings) -> bool:
    """Return whether sessions have to be archived now."""
    return reading.available_percent < marks.min_available_percent or (
        reading.redis_percent is not None and reading.redis_percent >= marks.redis_high_percent
    )


def is_relieved(reading: Reading, began: Reading, marks: MemorySettings) -> bool:
    """Return whether what was too high at the beginning is low enough."""
    host_was_high = began.available_percent < marks.min_available_percent
    wanted = min(100.0, RELIEVED_PART * marks.min_available_percent)
    if host_was_high and reading.available_percent < wanted:
        return False
    redis_was_high = (began.redis_percent or 0) >= marks.redis_high_percent
    return not (redis_was_high and (reading.redis_percent or 0) > marks.redis_low_percent)


def relieve(
    archiver: Archiver,
    marks: MemorySettings,
    is_over: Callable[[], bool],
    read: Callable[[RedisSessionStore], Reading] = read_memory,
    batch: int = FIRST_BATCH,
) -> tuple[Outcome, Reading, Reading]:
    """Run once; return the outcome, and the memory before and after."""
    store = archiver.store
    began = now = read(store)
    total = Outcome()
    if not is_high(began, marks):
        return total, began, now
    sessions: Iterator[str] = store.upkeep.longest_unused(store.now_ms(), LARGEST_BATCH)
    while not is_over() and not total.error and not is_relieved(now, began, marks):
        some = list(islice(sessions, batch))
        if not some:
            break
        done = archive_all(archiver, iter(some), batch, is_over)
        total.archived += done.archived
        total.error = done.error
        for why, count in done.left.items():
            total.leave(why, count)
        now = read(store)
        batch = min(2 * batch, LARGEST_BATCH)
    return total, began, now


def report(manager: SessionManager, outcome: Outcome, before: Reading, after: Reading) -> None:
    """Log the outcome of a run, count it, and notify the dashboards."""
    about: dict[str, Any] = {
        "archived": outcome.archived,
        "before": before.shown(),
        "after": after.shown(),
        "error": outcome.error,
    }
    quiet = {} if outcome.archived else {"throttle": "nothing archived"}
    log.warning(
        "memory is short: sessions were archived early",
        extra={"action": "memory_relieved", **about, **quiet},
    )
    if not outcome.archived and not outcome.error:
        return  # nothing can be done here; the alarms show it
    store = manager.store
    store.upkeep.count({"relieved": outcome.archived}, relieved_at=store.now_ms())
    for node in store.fleet.nodes():
        try:
            manager.messages.notify(node["node_id"], "memory_relieved", about)
        except errors.ServiceError:
            return  # Redis has no room for the message: the log has it
