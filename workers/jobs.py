"""Jobs: what RQ runs, addressed by dotted name.

* `run_sweep(sweep, token, every_s)`: a turn of one of the next six; see workers/turns.py. Keeps the turn
  meanwhile, notes that the sweep ran, or does nothing when another job has the turn by now.
* `sweep_idle`: sessions that never had a connection and were not updated for `sessions.idle_after_s`
  become inactive; index entries whose sessions ran out are dropped. Limit per run: `MAX_CALLS` calls
  per partition of `workers.batch` sessions each. Result: how many it changed.
* `sweep_inactive`: what is inactive for longer than `sessions.archive_after_s` goes to the archive, the
  longest inactive first; see workers/archive.py. Result: `{archived, left, error}`.
* `purge_expired_archives`: what is archived for longer than `archive.retention` says goes for good; nothing
  in the hour after a jump of Redis's clock, which would make all of it look old.
  Result: how many.
* `collect_litter`: removes what interrupted writers left in the archive. Result: how many files.
* `relieve_memory_pressure`: archives early while memory is short; see workers/memory.py. Result:
  `{archived, left, error}`.
* `archive_sessions(ids)`: archives these now. Result: id → `{word, session}`: `archived` and the summary
  that went to the archive, or why it stays in Redis and null.
* `restore_session(id)`: restores a session as inactive. Result: `{word, session}`: `restored` and its
  summary then, or `missing`, or `corrupt` where its file was bad, and null.
* `verify_archive`: checks every file with all its checksums; moves none. Result:
  `{checked, bad, unreadable, beside, wrong: [{name, session_id, reason, unreadable}]}`, of `wrong` the first
  `MAX_WRONG`. Takes one worker for its time.
  * `watch_alarms`: brings the recorded alarms up to date.
  * `send_batch(batch_id)`: queues a bulk command for each of its devices. Continues where it was when it
    is run again. Result: how many devices this run went through.
* `cleanup({max_inactive_hours, purge, limit})`: takes unused sessions out of Redis, at most `limit`.
  Result: `{removed_sessions, failed_sessions, more}`, or `{error}`; one that fails holds up no other.

Each is idempotent and bounded; the rest is left for the next turn (see `schedule`). A job opens
its own connections, because it runs in a process that RQ forked for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from service import errors
from service.archive.walk import readable, session_of, verdicts
from service.archiving.each import archive_each
from service.config.loader import load_config
from service.manager.bulk import run_batch
from service.manager.cleanup import clean_up
from service.observability.alarms import AlarmBook, has_clock_jumped
from service.sessions import model
from service.sessions.store.store import RedisSessionStore
from workers import archive, memory
from workers.turns import Sweep
from workers.wiring import open_jobs, open_manager, open_store, open_turns, open_upkeep

log = logging.getLogger(__name__)

#: Calls per partition and run: a run ends in bounded time, whatever waits.
MAX_CALLS = 100
#: How many bad files `verify_archive` names.
MAX_WRONG = 1_000


def run_sweep(sweep: str, token: str, every_s: float) -> Any:
    """Do one turn; return the sweep's result, None when it is another's turn."""
    function = SWEEPS[sweep]
    config = load_config()
    with open_turns(config) as turns, turns.held(Sweep(sweep, every_s), token) as is_mine:
        if not is_mine:
            return None
        result = function()
        with open_upkeep(config) as store:
            store.upkeep.count({}, **{f"ran_at:{sweep}": store.now_ms()})
    return result


def sweep_idle() -> int:
    """Sweep all partitions; return how many sessions it changed."""
    config = load_config()
    with open_store(config) as store:
        changed = sum(
            sweep_partition(store, partition, config.workers.batch)
            for partition in range(store.keys.partitions)
        )
    if changed:
        log.info("idle sessions were swept", extra={"action": "sweep_idle", "sessions": changed})
    return changed


def sweep_partition(store: RedisSessionStore, partition: int, batch: int) -> int:
    """Sweep one partition, `batch` sessions a call."""
    changed = 0
    for _ in range(MAX_CALLS):
        now_changed = store.cleanup.sweep_idle(partition, batch)
        changed += now_changed
        if now_changed < batch:
            break
    return changed


def sweep_inactive() -> dict[str, Any]:
    """Run the sweep once; see workers/archive.py."""
    config = load_config()
    with open_manager(config) as manager:
        after_s, batch = config.sessions.archive_after_s, config.workers.batch
        outcome = archive.sweep_inactive(manager.store, manager.archiver, after_s, batch)
    return asdict(outcome)


def purge_expired_archives() -> int:
    """Purge once; see workers/archive.py."""
    config = load_config()
    with open_manager(config) as manager:
        if not manager.archiver.exists:
            return 0
        if has_clock_jumped(manager.store.upkeep.read(), manager.store.now_ms()):
            log.warning(
                "nothing is purged", extra={"action": "purge_waits", "error": "clock_jumped"}
            )
            return 0
        return archive.purge(manager.archiver, config.archive.retention, config.workers.batch)


def collect_litter() -> int:
    """Remove what interrupted writers left in the archive."""
    with open_manager(load_config()) as manager:
        if not manager.archiver.exists:
            return 0
        return manager.archiver.archive.store.collect_litter(archive.LITTER_S)


def relieve_memory_pressure() -> dict[str, Any]:
    """Relieve memory once; see workers/memory.py."""
    config = load_config()
    with open_manager(config) as manager:
        if not manager.archiver.exists:
            return asdict(archive.Outcome(error="there is no archive"))
        is_over = archive.run_for(archive.RUN_S)
        outcome, before, after = memory.relieve(manager.archiver, config.memory, is_over)
        memory.report(manager, outcome, before, after)
    return asdict(outcome)


def archive_sessions(session_ids: list[str]) -> dict[str, dict[str, Any]]:
    """Archive these now, also those that only count as active; see the module.

    Raises:
        Conflict: there is no archive.
        ArchiveUnavailable: the job is tried again.
    """
    with open_manager(load_config()) as manager:
        manager.archiver.required()
        manager.store.cleanup.deactivate(session_ids)
        done, refusal = archive_each(manager.archiver, session_ids)
        archived = sum(one.word == "archived" for one in done)
        manager.store.upkeep.count({"archived": archived})
    if refusal is not None:
        raise refusal
    return {one.session_id: _moved(one.session_id, one.word, one.summary) for one in done}


def _moved(session_id: str, word: str, summary: dict[str, str] | None) -> dict[str, Any]:
    """Return what became of a session, with the summary that the move itself answered."""
    row = None if summary is None else {**summary, "session_id": session_id}
    return {"word": word, "session": row and model.summary(row, iso=True)}


def restore_session(session_id: str) -> dict[str, Any]:
    """Restore an archived session as inactive; see the module.

    Raises:
        ArchiveUnavailable: the job is tried again.
    """
    with open_manager(load_config()) as manager:
        archiver = manager.archiver
        try:
            summary = archiver.bring_back(session_id)
        except errors.ArchiveCorrupt:
            return _moved(session_id, "corrupt", None)
    return _moved(session_id, "missing" if summary is None else "restored", summary)


def verify_archive() -> dict[str, Any]:
    """Check every file; see the module.

    Raises:
        Conflict: there is no archive.
        ArchiveUnavailable: the whole archive; the job is tried again.
    """
    checked = bad = unreadable = beside = 0
    wrong: list[dict[str, Any]] = []
    with open_manager(load_config()) as manager:
        manager.archiver.required()
        for verdict in verdicts(manager.archiver.archive):
            checked += 1
            beside += verdict.beside
            if not verdict.wrong:
                continue
            unreadable += verdict.unreadable
            bad += not verdict.unreadable
            if len(wrong) < MAX_WRONG:
                name, session_id = readable(verdict.name), session_of(verdict.name)
                why = {"reason": verdict.wrong, "unreadable": verdict.unreadable}
                wrong.append({"name": name, "session_id": session_id, **why})
    counts = {"checked": checked, "bad": bad, "unreadable": unreadable, "beside": beside}
    about = {"action": "archive_verified", **counts}
    (log.error if wrong else log.info)("The archive was checked.", extra=about)
    return {**counts, "wrong": wrong}


def watch_alarms() -> None:
    """Bring the recorded alarms up to date."""
    config = load_config()
    with open_store(config) as store, open_jobs(config) as jobs:
        AlarmBook(store, jobs).update()


#: What `run_sweep` runs.
SWEEPS: dict[str, Callable[[], Any]] = {
    function.__name__: function
    for function in (
        *(sweep_idle, sweep_inactive, purge_expired_archives, collect_litter),
        *(relieve_memory_pressure, watch_alarms),
    )
}


def send_batch(batch_id: str) -> int:
    """Do the rest of a bulk command; return how many devices it went through."""
    with open_manager(load_config()) as manager:
        devices = run_batch(manager, batch_id)
    log.info(
        "a bulk command was queued",
        extra={"action": "send_batch", "batch_id": batch_id, "devices": devices},
    )
    return devices


def cleanup(order: dict[str, Any]) -> dict[str, Any]:
    """Remove unused sessions from Redis; see the module."""
    hours, limit, purge = order["max_inactive_hours"], order["limit"], order["purge"]
    with open_manager(load_config()) as manager:
        try:
            cleaned = clean_up(manager, hours, limit, purge=purge)
        except errors.ServiceError as exc:  # the client that waits for the job gets it
            return {"error": {**exc.body(), "status": exc.status}}
    removed, failed = cleaned.removed, cleaned.failed
    about = {"action": "cleanup", "sessions": len(removed), "failed": len(failed), "purge": purge}
    log.info("unused sessions left Redis", extra=about)
    return {"removed_sessions": removed, "failed_sessions": failed, "more": cleaned.more}
