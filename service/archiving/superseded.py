"""Superseded files: those that a committed one replaces.

Many files of one session can exist side by side: the one it was restored from, those of archivers that were
killed before their commit, but also a newer one than Redis holds (a backup was restored, a replica that was
behind took over) or one that came back from quarantine. Generation and rev do not tell these apart. So a file
is removed only when all of it is in the committed one:

* the session was restored from it, or
* it was read during the same stay in Redis: in the same life of Redis, of the session that was made at
  the same time and had been restored from the same file. A commit ends a stay, so every other reading in
  it is an earlier one.

Both hold for the files of those files, too: an archiver may have been killed before it removed them.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.archive.archive import Archive
from service.archive.errors import BadRecord
from service.archive.record import Header
from service.sessions.store.archive_index import Commit


@dataclass(frozen=True, slots=True)
class _Stay:
    """A session's time in Redis between two moves."""

    life: str
    created_at: str
    came_from: str


@dataclass(frozen=True, slots=True)
class Others:
    """The other files of a session that was committed."""

    superseded: list[str]  #: in the order of their removal: each before the one that leads to it
    beside: list[str]  #: they may hold what the committed one does not


def others_of(archive: Archive, commit: Commit) -> Others:
    """Sort a session's other files into those to remove and those to keep.

    Raises:
        ArchiveUnavailable
    """
    rest = [name for name in archive.store.find(commit.session_id) if name != commit.name]
    if not rest:
        return Others([], [])
    if rest == [commit.came_from]:
        return Others(rest, [])
    stays = {name: stay for name in rest if (stay := _stay_in(archive, name))}
    heirs = [_Stay(commit.life, commit.fields.get("created_at", ""), commit.came_from)]
    superseded: list[str] = []
    while heirs:
        heir = heirs.pop()
        for name in [one for one in stays if one == heir.came_from or stays[one] == heir]:
            superseded.append(name)
            heirs.append(stays.pop(name))
    return Others(superseded[::-1], list(stays))


def _stay_in(archive: Archive, name: str) -> _Stay | None:
    """Return the stay that a file was read in; None: it is gone, or bad and in quarantine."""
    try:
        header = archive.load_header(name)
    except BadRecord:
        return None
    return None if header is None else _stay_of(header)


def _stay_of(header: Header) -> _Stay:
    # files of earlier versions, and imported ones, have no life: each is a stay of its own
    life = header.life or header.name
    return _Stay(life, header.summary.get("created_at", ""), header.came_from)
