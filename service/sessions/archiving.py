"""How sessions leave Redis for the archive and come back.

Nothing leaves Redis before it is on disk: read the session at one moment, write and sync its file, then
remove it in one script that sees the same generation and rev (`archive_commit`). Back: read the file,
stage its parts, and take them in one script (`restore`), after which the file stays, superseded, until
the next commit or a purge. So at every moment exactly one place is authoritative: the keys if there are
any, else the file that the index names.

What can interfere, and why it cannot harm:
* two archivers of one session write the same file or different ones (its name has generation and rev);
  the second commit answers `ok` for the same file and is refused for another;
* an archiver that slept through a restore and a newer archive is refused, and removes only its own file;
* two nodes that restore at once: the second finds the session there;
* a delete sets its tombstone before the file goes and the keys last: see `delete`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from service import errors
from service.archive.archive import Archive
from service.archive.errors import BadRecord, RecordTooLarge
from service.archive.names import age_order
from service.archive.record import Record
from service.sessions import model
from service.sessions.model import SUMMARY_FIELDS, Registration, Snapshot
from service.sessions.store import RedisSessionStore

log = logging.getLogger(__name__)

#: How often a restore is tried again when the index names another file than a moment before.
ATTEMPTS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Archived:
    """What became of one session that was to be archived.

    `word`: archived, or it stays: active · busy (clients or open commands) · newer, older (it changed
    meanwhile) · missing · deleted · too_large.
    """

    session_id: str
    word: str


class Archiver:
    """Moves sessions between the store and the archive.

    Args:
        archive: where records are; on a node its store is behind `archive.threads`.
        step: tests stop here; called with the name of each step.
    """

    def __init__(
        self,
        store: RedisSessionStore,
        archive: Archive,
        *,
        step: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.store = store
        self.archive = archive
        self._step = step

    # -- out --

    def archive_sessions(self, session_ids: Iterable[str]) -> list[Archived]:
        """Archives those that are inactive and alone; the files of one call share their syncs.

        Raises:
            ArchiveUnavailable: the disk; nothing left Redis that is not on it.
        """
        results: list[Archived] = []
        pending: list[tuple[Snapshot, Record]] = []
        for session_id in session_ids:
            snapshot = self.store.read(session_id, entire=True)
            word = _fate(snapshot)
            if word or snapshot is None:
                results.append(Archived(session_id, word))
            else:
                pending.append((snapshot, record_of(snapshot)))
        self._step("read")
        stale: list[str] = []
        for snapshot, record in self._save(pending, results):
            done = self.store.archive_commit(snapshot, record.name, record.rev, record.summary)
            self._step("committed")
            if done.word == "ok":  # what is older was superseded, or left by a killed archiver
                order = age_order(record.name)
                names = self.archive.store.find(snapshot.session_id)
                stale += [name for name in names if age_order(name) < order]
            elif done.is_useless(record.name):
                stale.append(record.name)
            word = "archived" if done.word == "ok" else done.word
            results.append(Archived(snapshot.session_id, word))
        if stale:
            self.archive.store.delete(stale)
        self._step("done")
        return results

    def _save(
        self, pending: list[tuple[Snapshot, Record]], results: list[Archived]
    ) -> list[tuple[Snapshot, Record]]:
        """Those that are on disk now; one that is too large for a record stays in Redis."""
        try:
            self.archive.save([record for _, record in pending])
        except RecordTooLarge as exc:
            if len(pending) > 1:  # then one by one, to find it
                return [saved for one in pending for saved in self._save([one], results)]
            session_id = pending[0][0].session_id
            fields = {"action": "archive_too_large", "session_id": session_id, "why": str(exc)}
            log.error("session cannot be archived", extra=fields)
            results.append(Archived(session_id, "too_large"))
            return []
        self._step("saved")
        return pending

    # -- back --

    def register(self, session_id: str, **registration: Any) -> Registration:
        """Registers as the store does, and brings an archived session back in the same step.

        A session whose file is bad begins afresh, and the file goes to quarantine.

        Raises:
            ArchiveUnavailable: the archive cannot be read; no reason for a fresh session.
            Flapping, Overloaded, StoreUnavailable
        """
        restored = create = False
        for _ in range(ATTEMPTS):
            try:
                registered = self.store.register(session_id, create=create, **registration)
                return dataclasses.replace(registered, restored=restored)
            except errors.SessionNotFound:
                restored = self.restore(session_id)
                create = not restored
        raise errors.StoreUnavailable("The session moves about too quickly: try again.")

    def restore(self, session_id: str) -> bool:
        """Brings an archived session back as inactive; False: there is nothing to bring back.

        Raises:
            ArchiveUnavailable: the archive cannot be read.
        """
        for _ in range(ATTEMPTS):
            found = self._newest(session_id)
            if found is None:
                return False
            name, snapshot = found
            self._step("restoring")
            word = self.store.restore(snapshot, name)
            if word == "ok":
                log.info("session restored", extra={"action": "restored", "session_id": session_id})
                return True
            if word == "exists":
                return True
            if word == "deleted":
                return False
        raise errors.StoreUnavailable("The session moves about too quickly: try again.")

    def read(self, session_id: str) -> Snapshot | None:
        """An archived session, without restoring it; None when there is none."""
        found = self._newest(session_id)
        if found is None:
            return None
        snapshot = found[1]
        return dataclasses.replace(snapshot, fields={**snapshot.fields, "state": model.ARCHIVED})

    def _newest(self, session_id: str) -> tuple[str, Snapshot] | None:
        """The authoritative file of an archived session: the indexed one, else the newest on disk.

        A bad one goes to quarantine, and the session is none any more.
        """
        name = indexed = self.store.archive_name(session_id)
        if name is None:
            names = self.archive.store.find(session_id)
            if not names:
                return None
            name = names[0]
        try:
            record = self.archive.load(name)
            if record is not None:
                return name, snapshot_of(record)
            reason = "the file is gone"
        except BadRecord as bad:
            self.archive.store.quarantine(name, bad.reason)  # if `load` has not done it
            reason = bad.reason
        # An older file would be no substitute for the newest.
        fields = {"action": "archive_bad", "session_id": session_id, "file": name, "why": reason}
        log.error("archive cannot be used", extra=fields)
        if indexed is not None:
            self.store.archive_forget(session_id, name)
        return None

    # -- gone --

    def delete(self, session_id: str, expected: str = "") -> model.Deletion | None:
        """Removes a session from Redis and disk; None when it is unknown.

        Args:
            session_id: of any session.
            expected: `generation-rev` that a session in Redis must have.

        Raises:
            PreconditionFailed: it has another one; nothing was changed.

        Tombstone, then files, then keys: until the last step an interrupted delete leaves a session
        that is still listed, and whose delete can be repeated; nothing comes back after it.
        """
        names = self.archive.store.find(session_id)
        on_disk = max((age_order(name)[0] for name in names), default=0)
        if not self.store.delete_begin(session_id, on_disk, expected):
            return None
        self._step("tombstone")
        self.archive.store.delete(self.archive.store.find(session_id))
        self._step("files")
        deleted = self.store.delete(session_id) or model.Deletion(None, on_disk, [])
        # an archiver that wrote before the tombstone may have renamed after the files went
        self.archive.store.delete(self.archive.store.find(session_id))
        return deleted


def _fate(snapshot: Snapshot | None) -> str:
    """Why a session is not archived now; "" when it may be."""
    if snapshot is None:
        return "missing"
    fields = snapshot.fields
    if fields.get("state") != model.INACTIVE:
        return "active"
    if int(fields.get("open_commands") or 0) or int(fields.get("active_clients") or 0):
        return "busy"
    return ""


def record_of(snapshot: Snapshot) -> Record:
    """The session as its archive file has it: one rev on, with `archived` in its timeline."""
    rev = int(snapshot.fields.get("rev") or 0) + 1
    event = orjson.dumps({"at": snapshot.read_ms, "event": "archived"}).decode()
    fields = {**snapshot.fields, "rev": str(rev), "state": model.ARCHIVED}
    summary = {name: fields[name] for name in SUMMARY_FIELDS if name in fields}
    body = {
        "fields": fields,
        "data": {name: _json(samples) for name, samples in snapshot.histories.items()},
        "setup": orjson.Fragment(snapshot.setup) if snapshot.setup else None,
        "undo": _json(snapshot.undo),
        "redo": _json(snapshot.redo),
        "timeline": _json([*snapshot.timeline, event][-model.TIMELINE_EVENTS :]),
        "commands": snapshot.commands,
        "commands_done": snapshot.commands_done,
    }
    generation = int(snapshot.fields["generation"])
    return Record(snapshot.session_id, generation, rev, snapshot.read_ms, summary, body)


def snapshot_of(record: Record) -> Snapshot:
    """The session in a record.

    Raises:
        BadRecord: its body is not that of a session.
    """
    body = record.body
    try:
        return Snapshot(
            session_id=record.session_id,
            fields={
                **{str(name): str(value) for name, value in body["fields"].items()},
                "generation": str(record.generation),
                "rev": str(record.rev),
            },
            histories={name: _text(samples) for name, samples in body["data"].items() if samples},
            setup="" if body["setup"] is None else orjson.dumps(body["setup"]).decode(),
            undo=_text(body["undo"]),
            redo=_text(body["redo"]),
            timeline=_text(body["timeline"]),
            commands={str(name): str(value) for name, value in body["commands"].items()},
            commands_done=[str(command_id) for command_id in body["commands_done"]],
            read_ms=record.archived_at_ms,
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise BadRecord("its body is not that of a session") from exc


def _json(texts: Sequence[str] | int) -> list[orjson.Fragment]:
    assert not isinstance(texts, int), "an archive takes the entire session"
    return [orjson.Fragment(text) for text in texts]


def _text(values: Sequence[Any]) -> list[str]:
    return [orjson.dumps(value).decode() for value in values]
