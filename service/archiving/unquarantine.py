"""Files that become a session's newest again: out of quarantine, or in place of a newer one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from service import errors
from service.archive.errors import BadRecord, NameTaken
from service.archive.names import age_order, new_capture
from service.archive.record import Record
from service.archive.store import Quarantined
from service.archiving.archiver import Archiver
from service.archiving.records import index_entry, snapshot_of


@dataclass(frozen=True, slots=True)
class PutBack:
    """A file that was moved out of quarantine.

    `word`: `ok` or `newer`, its session is archived with it again; or it is not authoritative, because its session is
    known with a newer file (`known`), is in Redis (`live`, `beside`) or was deleted within the hour (`deleted`).
    """

    item: str
    name: str
    session_id: str
    word: str


def unquarantine(archiver: Archiver, item: str) -> PutBack:
    """Move a file out of quarantine, when it can be read by now, and index it.

    Raises:
        FileNotFound: there is no such item.
        Conflict: it is still bad, its place is taken or not known.
        ArchiveUnavailable
    """
    files = archiver.archive.store
    found = next((one for one in files.quarantined() if one.item == item), None)
    if found is None:
        raise errors.FileNotFound(item=item)
    _check(archiver, found)
    try:
        name = files.unquarantine(item)
        header = None if name is None else archiver.archive.load_header(name)
    except NameTaken as exc:
        raise errors.Conflict("There is a file of its name again.", item=item) from exc
    except BadRecord as exc:
        raise errors.Conflict(f"It stays: {exc.reason}.", item=item) from exc
    if name is None or header is None:
        raise errors.FileNotFound("Another request has just taken it out.", item=item)
    partition = archiver.store.keys.partition(header.session_id)
    (word,) = archiver.store.archive_index.add(partition, [index_entry(header)])
    return PutBack(item, name, header.session_id, word)


def _check(archiver: Archiver, found: Quarantined) -> None:
    wrong = archiver.archive.check_quarantined(found)
    if wrong:
        raise errors.Conflict(f"It stays: {wrong}.", item=found.item)


def bring_forward(archiver: Archiver, name: str) -> str:
    """Make one of several files of a session its newest; return the new name.

    The present state of the session is archived first, as one more file: nothing is lost, and the
    same call with that file undoes it. Interrupted at any point, it can be repeated.

    Raises:
        SessionNotFound: there is no such file.
        Conflict: it is bad; its session is connected, busy, changing or was just deleted.
        ArchiveUnavailable
    """
    try:
        record = archiver.archive.load(name)
        if record is not None:
            snapshot_of(record)
    except BadRecord as exc:
        raise errors.Conflict(f"It cannot be used: {exc.reason}.") from exc
    if record is None:
        raise errors.SessionNotFound("There is no such file.")
    session_id, store, files = record.session_id, archiver.store, archiver.archive.store
    if store.index.get(session_id) is not None:
        store.cleanup.deactivate([session_id])
        (away,) = archiver.archive_sessions([session_id])
        if away.word != "archived":
            raise errors.Conflict(f"Its session stays in Redis: {away.word}.")
    forward = _as_newest(record, name, files.find(session_id), store.now_ms())
    archiver.archive.save([forward])
    entry = index_entry(forward)
    (word,) = store.archive_index.add(store.keys.partition(session_id), [entry])
    if word not in ("ok", "newer"):
        files.delete([forward.name])
        raise errors.Conflict(f"Its session just came or went ({word}): try again.")
    files.delete([name])  # all of it is in the new one
    return forward.name


def _as_newest(record: Record, name: str, names: list[str], now_ms: int) -> Record:
    """Return the same session as a record newer than any of these files."""
    generation, rev = (
        max(ages) for ages in zip(*(age_order(one)[:2] for one in names), strict=True)
    )
    shown = {"rev": str(rev + 1)}
    return dataclasses.replace(
        record,
        generation=generation,
        rev=rev + 1,
        archived_at_ms=now_ms,
        summary={**record.summary, **shown},
        body={**record.body, "fields": {**record.body["fields"], **shown}},
        capture=new_capture(now_ms),
        life="",
        came_from=name,
    )
