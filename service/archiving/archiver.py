"""The archiver: how sessions leave Redis for the archive and come back.

Nothing leaves Redis before it is on disk: read the session at one moment, write and sync its file, then
remove it in one script that compares the very fields that were read (`archive_commit`). Back: read the file,
stage its parts, and take them in one script (`restore`), after which the file stays, superseded, until
the next commit or a delete. So at every moment exactly one place is authoritative: the keys if they exist,
else the file that the index names.

What can interfere, and why it does no harm:
* Two archivers of one session write two files, since a name belongs to one reading (`new_capture`). A change
  between the two round trips of a reading makes it void (`captures.read`), and the second commit is refused.
* An archiver that slept through a restore and a newer archive is refused, and removes only its own file,
  unless Redis lost something meanwhile: then Redis may rely on that file now.
* A commit removes only what the committed file holds (superseded.py): a newer state than Redis's, a file back
  from quarantine, and files from before Redis was emptied stay.
* A Redis that fell back names a file that was superseded since: the newer one on disk is taken (`_newest`),
  and where Redis has an older state, `archive_index` lets the file win (docs/operations.md, "Backup").
* Two nodes restore at once: the second finds the session there.
* A delete sets its tombstone before the file goes and the keys last: see `delete`.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, TypeVar

from service import errors
from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, BadRecord
from service.archive.names import age_order
from service.archiving.read_ahead import OneBehind, Prepared, ReadAhead
from service.archiving.records import index_entry, snapshot_of
from service.archiving.superseded import others_of
from service.sessions import model
from service.sessions.model import Holding, Owner, Registration, Snapshot
from service.sessions.store.archive_index import Commit
from service.sessions.store.store import RedisSessionStore

log = logging.getLogger(__name__)

T = TypeVar("T")

#: How often a restore is tried again when the index names another file than a moment before.
ATTEMPTS = 5
MOVES = "The session moves about too quickly: try again."
#: Files that share their syncs, bytes.
BATCH_BYTES = 2 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Archived:
    """What became of one session that was to be archived.

    `word`: archived, or it stays: active · busy (clients or open commands) · newer, older (it changed
    meanwhile, or Redis did) · missing · deleted · too_large · failed (it cannot be read or written).
    """

    session_id: str
    word: str
    summary: dict[str, str] | None = None  #: archived: its raw summary fields, as in its file


class Archiver:
    """Moves sessions between the store and the archive.

    Args:
        archive: where records are; on a node its store is behind `archive.threads`.
        step: called with the name of each step, so that tests can stop there.
    """

    #: Whether there is an archive; see `NullArchiver`.
    exists = True

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

    # -- archiving --

    def required(self) -> Archiver:
        """Return this archiver, for what is impossible without an archive.

        Raises:
            Conflict: there is none.
        """
        return self

    def archive_sessions(self, session_ids: Iterable[str]) -> list[Archived]:
        """Archive those that are inactive, or whose device sleeps, and have no clients; files share their syncs.

        Raises:
            ArchiveUnavailable: the disk failed; whatever left Redis is on it.
        """
        results: list[Archived] = []
        files: list[Prepared] = []
        ahead = ReadAhead(self.store, self.archive).batches(session_ids)
        with closing(ahead) as batches, OneBehind() as behind:
            for batch in batches:
                results += itertools.starmap(Archived, batch.left.items())
                files += batch.files
                if sum(len(one.data) for one in files) >= BATCH_BYTES:
                    self._save(files)
                    behind.run(self._commit, [one.commit for one in files], results)
                    files = []
            self._save(files)
            behind.wait()
            self._commit([one.commit for one in files], results)
        return results

    def _save(self, files: Sequence[Prepared]) -> None:
        """Write the files to the disk: only then may their sessions leave Redis."""
        self._step("read")
        self.archive.store.put([(one.commit.name, one.data) for one in files])
        self._step("saved")

    def _commit(self, commits: Sequence[Commit], results: list[Archived]) -> None:
        stale: list[str] = []
        answers = self.store.archive_index.commit(commits)
        for commit, done in zip(commits, answers, strict=True):
            self._step("committed")
            if done.word == "ok":
                others = others_of(self.archive, commit)
                stale += others.superseded
                if others.beside:
                    about = {"session_id": commit.session_id, "files": others.beside}
                    log.warning(
                        "files that the committed one does not replace stay",
                        extra={"action": "archive_beside", **about},
                    )
            elif done.is_useless(commit.name):
                stale.append(commit.name)
            if done.word == "ok":
                results.append(Archived(commit.session_id, "archived", commit.summary))
            else:
                results.append(Archived(commit.session_id, done.word))
        if stale:
            self.archive.store.delete(stale)
        self._step("done")

    # -- restoring --

    def register(self, session_id: str, **registration: Any) -> Registration:
        """Register as the store does, and restore an archived session in the same step.

        A session whose file is bad begins from nothing, and the file goes to quarantine.

        Raises:
            ArchiveUnavailable: the archive cannot be read; no reason for a fresh session.
            Flapping, Overloaded, StoreUnavailable
        """
        registered, restored = self.reach(
            session_id,
            lambda create: self.store.ownership.register(session_id, create=create, **registration),
        )
        return dataclasses.replace(registered, restored=True) if restored else registered

    def reach(self, session_id: str, ask: Callable[[bool], T]) -> tuple[T, bool]:
        """Ask for a session that is restored if it is archived, and made if there is none.

        Args:
            session_id: of any session.
            ask: gets whether to make it; raises SessionNotFound.

        Returns:
            Its answer, and whether the session was restored for it.

        Raises:
            ArchiveUnavailable: the archive cannot be read; no reason for a fresh session.
        """
        restored = create = False
        for _ in range(ATTEMPTS):
            try:
                return ask(create), restored
            except errors.SessionNotFound:
                restored = self.restore(session_id)
                create = not restored
        raise errors.StoreUnavailable(MOVES, session_id=session_id)

    def reclaim(
        self, partition: int, node_id: str, holdings: Sequence[Holding]
    ) -> list[tuple[str, Owner | None]]:
        """Reclaim as the store does; sessions that Redis does not have are restored first, if they are on disk.

        Also from a file that is older than the claim: an emptied Redis lost what came after it, and reclaiming
        puts back what the node knows of that.

        Raises:
            StoreUnavailable: also when the archive of one cannot be read; the others are done.
        """
        answers = self.store.ownership.reclaim(partition, node_id, holdings, create=False)
        away = [i for i, (word, _) in enumerate(answers) if word in ("archived", "unknown")]
        if not away:
            return answers
        unread: dict[int, str] = {}
        for i in away:
            try:
                session_id = holdings[i].session_id
                if answers[i][0] == "archived" or self.archive.store.find(session_id):
                    self.restore(session_id)
            except ArchiveUnavailable as exc:
                unread[i] = exc.message
        away = [i for i in away if i not in unread]
        again = self.store.ownership.reclaim(partition, node_id, [holdings[i] for i in away])
        if unread or any(word == "archived" for word, _ in again):
            raise errors.StoreUnavailable(next(iter(unread.values()), MOVES))
        for i, answer in zip(away, again, strict=True):
            answers[i] = answer
        return answers

    def restore(self, session_id: str) -> bool:
        """Restore an archived session as inactive; False: there is nothing to restore.

        Raises:
            ArchiveUnavailable: the archive cannot be read.
        """
        try:
            return self.bring_back(session_id) is not None
        except errors.ArchiveCorrupt:
            return False

    def bring_back(self, session_id: str) -> dict[str, str] | None:
        """Restore as `restore` does, and raise when the session's file is bad.

        Returns the raw summary fields of the session, as they were when it was in Redis; None: there is
        nothing to restore.

        Raises:
            ArchiveCorrupt: it is in quarantine now: from now on there is no such session.
            ArchiveUnavailable
        """
        for _ in range(ATTEMPTS):
            found = self._newest(session_id, self._snapshot)
            if found is None:
                return None
            name, snapshot = found
            self._step("restoring")
            done = self.store.archive_index.restore(snapshot, name)
            if done.word == "ok":
                log.info("session restored", extra={"action": "restored", "session_id": session_id})
            if done.summary is not None:
                return done.summary
            if done.word == "deleted":  # by a delete that may not have been finished
                self.delete(session_id)
                return None
        raise errors.StoreUnavailable(MOVES, session_id=session_id)

    def read(self, session_id: str) -> Snapshot | None:
        """Read an archived session, without restoring it; None when there is none.

        Raises:
            ArchiveUnavailable: the archive cannot be read.
            ArchiveCorrupt: its file is bad, and in quarantine now: from now on there is no such session.
        """
        found = self._newest(session_id, self._snapshot)
        if found is None:
            return None
        snapshot, [row] = found[1], self.store.index.summaries([session_id])
        state = row["state"] if row else model.ARCHIVED
        return dataclasses.replace(snapshot, fields={**snapshot.fields, "state": state})

    def file_of(self, session_id: str) -> tuple[str, int] | None:
        """Return name and size (bytes) of the file of an archived session; raises as `read`.

        Of a session that is in Redis it may be a superseded one.
        """
        return self._newest(session_id, self.archive.measure)

    def _snapshot(self, name: str) -> Snapshot | None:
        record = self.archive.load(name)
        return None if record is None else snapshot_of(record)

    def _newest(self, session_id: str, read: Callable[[str], T | None]) -> tuple[str, T] | None:
        """Find the authoritative file of an archived session: the indexed one, else the newest on disk.

        Args:
            session_id: of any session.
            read: makes something of the file of a name; None: the file is gone. Raises BadRecord.

        Raises:
            ArchiveCorrupt: it was bad: it is in quarantine, and there is no such session any more. An
                older file would be no substitute.
        """
        for _ in range(ATTEMPTS):
            name = indexed = self.store.archive_index.name_of(session_id)
            if name is None:
                names = self.archive.store.find(session_id)
                if not names:
                    return None
                name = names[0]
            try:
                found = read(name)
                if found is not None:
                    return name, found
                reason = ""
            except BadRecord as bad:
                self.archive.store.quarantine(name, bad.reason)  # if `load` has not done it
                reason = bad.reason
            if indexed is None:
                moved = not reason
            elif not reason and self._index_newer(session_id, name):
                continue
            else:
                moved = not self.store.archive_index.forget(session_id, name)
            if moved:  # while we looked
                continue
            fields = {"action": "archive_bad", "session_id": session_id, "file": name}
            log.error("archive cannot be used", extra={**fields, "why": reason or "it is gone"})
            if not reason:
                return None
            raise errors.ArchiveCorrupt(session_id=session_id)
        raise errors.StoreUnavailable(MOVES, session_id=session_id)

    def _index_newer(self, session_id: str, gone: str) -> bool:
        """Return whether the index now has a newer file than the one that is gone.

        A Redis that fell back names a file that was superseded since.
        """
        for name in self.archive.store.find(session_id):
            if age_order(name) <= age_order(gone):
                return False
            try:
                header = self.archive.load_header(name)
            except BadRecord:
                continue  # in quarantine now
            if header is not None:
                entry = index_entry(header)
                return self.store.archive_index.add(
                    self.store.keys.partition(session_id), [entry]
                ) == ["ok"]
        return False

    # -- deleting --

    def delete(
        self, session_id: str, expected: str = "", archived_as: str = ""
    ) -> model.Deletion | None:
        """Remove a session from Redis and disk; None when it is unknown.

        Args:
            session_id: of any session.
            expected: `generation-rev` that a session in Redis must have.
            archived_as: only while it is archived with this file.

        Raises:
            PreconditionFailed: it is not as expected; nothing was changed.

        Tombstone, then files, then keys: until the last step an interrupted delete leaves a session
        that is still listed, and whose delete can be repeated; nothing comes back after it.
        """
        names = self.archive.store.find(session_id)
        on_disk = max((age_order(name)[0] for name in names), default=0)
        if not self.store.cleanup.begin_delete(session_id, on_disk, expected, archived_as):
            return None
        self._step("tombstone")
        self.archive.store.delete(self.archive.store.find(session_id))
        self._step("files")
        deleted = self.store.cleanup.delete(session_id) or model.Deletion(None, on_disk, [])
        self._step("keys")
        # an archiver that wrote before the tombstone may have renamed after the files went
        self.archive.store.delete(self.archive.store.find(session_id))
        return deleted
