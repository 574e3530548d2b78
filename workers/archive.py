"""Archive work of workers: filling it, keeping alive what cannot go there, purging it.

* `sweep_inactive` goes through the index of inactive sessions, the longest inactive first. Busy ones
  (open commands, clients that joined) and single ones that cannot be archived are passed over and block
  no session behind them (`archive_each`). When the disk refuses, the run ends, the failure is counted, and
  everything stays in Redis. Limit per run: `RUN_S`.
* `extend_ttls`, a part of it, gives new TTLs to what should have left Redis long ago and could not:
  nothing that is still to be archived ever reaches its TTL. Limit per run: `EXTENDED` per partition.
* `purge` removes what is archived for longer than `archive.retention` says, by the index. Where
  retention differs by name or project it goes round and round the old ones, `RUN_S` at a time.

All of them may be killed at any point, and may run twice at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from service import errors
from service.archive.errors import WrongArchive
from service.archiving.archiver import Archiver
from service.archiving.each import archive_each
from service.config.settings import RetentionSettings
from service.sessions.store.store import RedisSessionStore

log = logging.getLogger(__name__)

#: A run ends after this time, s, so that other jobs have their turn; the next one continues.
RUN_S = 20.0
#: Sessions per partition and run whose TTL is checked.
EXTENDED = 5_000
#: Leftovers of interrupted writers are removed after this time, s.
LITTER_S = 3600.0
_DAY_MS = 24 * 3600 * 1000


def run_for(seconds: float) -> Callable[[], bool]:
    """Return a function that says whether that time is over."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


@dataclass
class Outcome:
    """The outcome of a run; its fields are the job's result."""

    archived: int = 0
    #: Sessions that stay in Redis, by reason.
    left: dict[str, int] = field(default_factory=dict)
    #: Why the disk refused; empty: it did not.
    error: str = ""

    def leave(self, why: str, count: int = 1) -> None:
        if count:
            self.left[why] = self.left.get(why, 0) + count


def archive_all(
    archiver: Archiver, session_ids: Iterator[str], batch: int, is_over: Callable[[], bool]
) -> Outcome:
    """Archive these until it `is_over`; stops when the disk refuses."""
    outcome = Outcome()
    while not is_over():
        ids = list(islice(session_ids, batch))
        if not ids:
            break
        quiet = archiver.store.upkeep.quiet(ids)
        outcome.leave("busy", len(ids) - len(quiet))
        done, refusal = archive_each(archiver, quiet)
        for one in done:
            if one.word == "archived":
                outcome.archived += 1
            else:
                outcome.leave(one.word)
        if refusal is not None:
            outcome.error = refusal.message
            break
    report(archiver.store, outcome)
    return outcome


def report(store: RedisSessionStore, outcome: Outcome) -> None:
    """Log the outcome, and count it in Redis for all to see."""
    if outcome.error:
        store.upkeep.count(
            {"archived": outcome.archived, "archive_failures": 1},
            archive_failed_at=store.now_ms(),
            archive_error=outcome.error,
        )
        log.error(
            "the archive cannot be written; sessions stay in Redis",
            extra={"action": "archive_failed", "error": outcome.error},
        )
    elif outcome.archived:
        store.upkeep.count({"archived": outcome.archived}, archived_at=store.now_ms())
    if outcome.archived:
        log.info(
            "sessions were archived", extra={"action": "archived", "sessions": outcome.archived}
        )


def sweep_inactive(
    store: RedisSessionStore, archiver: Archiver, archive_after_s: float, batch: int
) -> Outcome:
    """Run once: archive what is due, and keep alive what should have left Redis long ago."""
    outcome = Outcome()
    if archiver.exists:
        before_ms = store.now_ms() - round(archive_after_s * 1000)
        due = store.upkeep.longest_unused(before_ms, batch)
        outcome = archive_all(archiver, due, batch, run_for(RUN_S))
    extended = sum(store.upkeep.extend_ttls(p, EXTENDED) for p in range(store.keys.partitions))
    if extended:
        store.upkeep.count({"ttls_extended": extended})
        log.warning(
            "sessions that should be archived by now were kept alive in Redis",
            extra={"action": "ttls_extended", "sessions": extended},
        )
    return outcome


def retention_days(retention: RetentionSettings, summary: Mapping[str, str]) -> float:
    """Return how long a session with this summary is kept, days; 0: for ever."""
    name, project = summary.get("session_name", ""), summary.get("project_id", "")
    if name in retention.names:
        return retention.names[name]
    return retention.projects.get(project, retention.days) if project else retention.days


def purge(archiver: Archiver, retention: RetentionSettings, batch: int) -> int:
    """Run once; return how many archived sessions were removed for good."""
    days = [retention.days, *retention.names.values(), *retention.projects.values()]
    shortest = min((one for one in days if one), default=0)
    if not shortest:
        return 0
    store, is_over, purged = archiver.store, run_for(RUN_S), 0
    now_ms = store.now_ms()
    for partition in range(store.keys.partitions):
        after = store.upkeep.sweep_place(partition, "purge")
        began = after
        while not is_over():
            before_ms = now_ms - round(shortest * _DAY_MS)
            entries = store.upkeep.archived_since(partition, before_ms, after, batch)
            facts = store.upkeep.archive_facts([session_id for _, session_id in entries])
            for (archived_ms, session_id), fact in zip(entries, facts, strict=True):
                if fact is None:
                    continue
                kept = retention_days(retention, fact[1])
                if kept and archived_ms <= now_ms - kept * _DAY_MS:
                    purged += _purge_one(archiver, session_id, fact[0])
            after = entries[-1] if len(entries) == batch else None
            if after is None:
                break
        if after != began:
            store.upkeep.keep_sweep_place(partition, "purge", after)
    if purged:
        store.upkeep.count({"purged": purged})
        log.info("old archives were removed", extra={"action": "purged", "sessions": purged})
    return purged


def _purge_one(archiver: Archiver, session_id: str, name: str) -> int:
    try:
        return int(archiver.delete(session_id, archived_as=name) is not None)
    except errors.PreconditionFailed:
        return 0  # it came back
    except WrongArchive:
        raise
    except Exception as exc:  # noqa: BLE001  logged; its turn comes again
        errors.passed_over(exc, "purge", session_id)
        return 0
