"""How a file comes back from quarantine, and its session back into the lists."""

from __future__ import annotations

from dataclasses import dataclass

from service import errors
from service.archive.errors import BadRecord, NameTaken
from service.archive.record import Header, Record
from service.archive.store import Quarantined
from service.sessions.archiving import Archiver
from service.sessions.store_archive import IndexEntry


@dataclass(frozen=True, slots=True)
class PutBack:
    """A file that is in its place again.

    `word`: ok, its session is archived with it again; or it is no authority, because its session is
    known with a newer file (known), is in Redis (live) or was deleted within the hour (deleted).
    """

    item: str
    name: str
    session_id: str
    word: str


def put_back(archiver: Archiver, item: str) -> PutBack:
    """Moves a file out of quarantine, when it can be read by now, and indexes it.

    Raises:
        SessionNotFound: there is no such item.
        Conflict: it is still bad, its place is taken or not known.
        ArchiveUnavailable
    """
    files = archiver.archive.store
    found = next((one for one in files.quarantined() if one.item == item), None)
    if found is None:
        raise errors.SessionNotFound("There is no such item in quarantine.", item=item)
    _check(archiver, found)
    try:
        name = files.put_back(item)
        header = None if name is None else archiver.archive.load_header(name)
    except NameTaken as exc:
        raise errors.Conflict("There is a file of its name again.", item=item) from exc
    except BadRecord as exc:
        raise errors.Conflict(f"It stays: {exc.reason}.", item=item) from exc
    if name is None or header is None:
        raise errors.SessionNotFound("Somebody else just took it out.", item=item)
    partition = archiver.store.keys.partition(header.session_id)
    (word,) = archiver.store.archive_index(partition, [index_entry(header)])
    return PutBack(item, name, header.session_id, word)


def _check(archiver: Archiver, found: Quarantined) -> None:
    wrong = archiver.archive.check_quarantined(found)
    if wrong:
        raise errors.Conflict(f"It stays: {wrong}.", item=found.item)


def index_entry(one: Header | Record) -> IndexEntry:
    """A file as the index takes it."""
    return IndexEntry(
        one.session_id, one.name, one.generation, one.rev, one.archived_at_ms, one.summary
    )
