"""Archiving of many sessions: one that the disk refuses does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence

from service.archive.errors import ArchiveUnavailable, WrongArchive
from service.archiving.archiver import Archived, Archiver
from service.errors import passed_over

#: So many sessions, one after the other and each alone: it is the disk that refuses.
REFUSALS = 3


def archive_each(
    archiver: Archiver, session_ids: Sequence[str]
) -> tuple[list[Archived], ArchiveUnavailable | None]:
    """Archive these; return what became of each, and the error that ended it early, or None.

    Where it refuses some together, they are tried in halves, down to one alone, which has `failed`: its place
    on the disk may be broken, or there may be room for fewer. After `REFUSALS` of them in a row, or when
    nothing could be archived at all, it is the disk, and the rest stays as it is.
    """
    done: list[Archived] = []
    waiting = [list(session_ids)] if session_ids else []
    refusal: ArchiveUnavailable | None = None
    refused = 0
    while waiting:
        some = waiting.pop()
        try:
            now = archiver.archive_sessions(some)
        except WrongArchive as exc:
            return done, exc
        except ArchiveUnavailable as exc:
            refusal = exc
            if len(some) > 1:
                half = len(some) // 2
                waiting += [some[half:], some[:half]]
                continue
            refused += 1
            if refused >= REFUSALS:
                return done, exc
            passed_over(exc, "archive", some[0])
            now = [Archived(some[0], "failed")]
        else:
            refused = 0
        done += [_known(archiver, one) if refusal is not None else one for one in now]
    if any(one.word == "archived" for one in done):
        refusal = None
    return done, refusal


def _known(archiver: Archiver, one: Archived) -> Archived:
    """Return what became of one: `missing` after a second try was archived by the first."""
    if one.word == "missing" and archiver.store.archive_index.name_of(one.session_id) is not None:
        return Archived(one.session_id, "archived")
    return one
