"""Cleanup of unused sessions: those without a connection, clients or activity for long.

Archived sessions have left Redis already; cleanup does not touch them, also with `purge`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from service import errors
from service.archiving.each import archive_each
from service.manager.manager import SessionManager
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import last_activity_ms
from service.sessions.store.store import RedisSessionStore


def find_unused(
    store: RedisSessionStore, max_inactive_hours: float, limit: int, *, purge: bool
) -> tuple[list[tuple[str, str]], bool]:
    """Return at most `limit` unused sessions as (id, `generation-rev`), and whether there are more.

    Unused is a session without a connection and clients whose last activity is longer ago than that;
    and, unless it is to be purged, without open commands, with which it could not be archived.
    """
    before_ms = store.now_ms() - round(max_inactive_hours * 3_600_000)
    found = list(islice(_unused(store, before_ms, purge), limit + 1))
    return found[:limit], len(found) > limit


def _unused(store: RedisSessionStore, before_ms: int, purge: bool) -> Iterator[tuple[str, str]]:
    """Yield all of them, as `find_unused`, last active before that moment."""
    for partition in range(store.keys.partitions):
        for ids in _without_connection(store, partition, before_ms):
            for raw in store.cleanup.states(ids):
                if raw is not None and _is_unused(raw, before_ms, purge):
                    yield raw["session_id"], f"{raw['generation']}-{raw.get('rev') or 0}"


def _is_unused(raw: dict[str, str], before_ms: int, purge: bool) -> bool:
    if raw.get("is_connected") == "1" or int(raw.get("active_clients") or 0):
        return False
    if not purge and int(raw.get("open_commands") or 0):
        return False
    return last_activity_ms(raw) <= before_ms


def _without_connection(
    store: RedisSessionStore, partition: int, before_ms: int
) -> Iterator[list[str]]:
    """Yield those that became inactive before it, and those that never had a connection."""
    after: tuple[float, str] | None = None
    while page := store.upkeep.inactive_since(partition, before_ms, after, CALL_SESSIONS):
        yield [session_id for _, session_id in page]
        after = page[-1]
    place = 0
    while ids := store.cleanup.idle_ids(partition, before_ms, place, CALL_SESSIONS):
        yield ids
        place += len(ids)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a cleanup did."""

    removed: list[str]  #: those that left Redis
    failed: dict[str, str]  #: those that could not, and the code of the error
    more: bool  #: there are others


def clean_up(
    manager: SessionManager, max_inactive_hours: float, limit: int, *, purge: bool
) -> Cleaned:
    """Take unused sessions out of Redis.

    A session that changes between being found and being taken is left alone. One that cannot be taken
    holds up no other.

    Args:
        manager: of the service.
        max_inactive_hours: how long there was no activity.
        limit: sessions at most.
        purge: delete them for good instead of archiving them.

    Raises:
        Conflict: they are to be archived, and there is no archive.
        ArchiveUnavailable: the disk takes none of them; nothing left Redis that is not on it.
    """
    archiver = manager.archiver
    if not purge and not archiver.exists:
        raise errors.Conflict("There is no archive (archive.url): only `purge` is possible.")
    found, more = find_unused(manager.store, max_inactive_hours, limit, purge=purge)
    if not purge:
        ids = [session_id for session_id, _ in found]
        manager.store.cleanup.deactivate(ids)
        done, refusal = archive_each(archiver, ids)
        removed = [one.session_id for one in done if one.word == "archived"]
        if refusal is not None and not removed:
            raise refusal
        failed = {one.session_id: "store_unavailable" for one in done if one.word == "failed"}
        return Cleaned(removed, failed, more or refusal is not None)
    removed, failed = [], {}
    for session_id, expected in found:
        try:
            manager.delete_session(session_id, expected=expected)
        except (errors.SessionNotFound, errors.PreconditionFailed):
            continue
        except Exception as exc:  # noqa: BLE001  logged and reported
            failed[session_id] = errors.passed_over(exc, "cleanup", session_id).code
            continue
        removed.append(session_id)
    # who calls again as long as there is more is not kept by what fails
    return Cleaned(removed, failed, more and bool(removed or not failed))
