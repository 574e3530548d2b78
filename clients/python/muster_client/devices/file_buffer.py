"""A buffer in a file, which survives the process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from muster_client.devices.background import in_thread
from muster_client.devices.buffer import KEPT_COMMANDS, Bounds, Numbered, Stored, Taken, new_stream
from muster_client.devices.samples import Sample
from muster_client.errors import BadBuffer, BufferInUse
from muster_client.forks import Home

log = logging.getLogger("muster_client")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
  place INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, json TEXT NOT NULL, ts REAL NOT NULL);
CREATE TABLE IF NOT EXISTS updates (seq INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS commands (
  number INTEGER PRIMARY KEY AUTOINCREMENT, command_id TEXT UNIQUE NOT NULL, name TEXT NOT NULL,
  params TEXT NOT NULL, outcome TEXT, is_started INTEGER NOT NULL DEFAULT 0,
  is_reported INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS known (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
#: How many samples there are, and their bytes as `Sample.size` has them.
_COUNT_UP = """
SELECT count(*), coalesce(sum(4 * length(key) + length(CAST(json AS BLOB)) + 40), 0)
FROM samples WHERE place BETWEEN ? AND ?
"""
_LAST_PLACE = (1 << 63) - 1

_opened: weakref.WeakSet[FileBuffer] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Never close, in a process that was forked, what is open in the one before it.

    SQLite would take itself for the owner, and remove the file that the other process still writes to.
    """
    for buffer in _opened:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(buffer._db))


with contextlib.suppress(ImportError, AttributeError):  # neither is everywhere
    import ctypes

    os.register_at_fork(after_in_child=_leave_to_parent)


class FileBuffer:
    """A buffer in a file; see `Buffer`.

    What `add` returned from is with the operating system, so it survives a killed process. It is on
    the disk at most `sync_s` later, and before its update is sent, so it survives a power cut too.

    Args:
        path: The file; made where there is none. Files with `-wal` behind its name belong to it.

    Raises:
        BufferInUse: Another process, or another device of this one, has it.
        BadBuffer: It is no buffer, or damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        bounds: Bounds = Bounds(),  # noqa: B008  frozen
    ) -> None:
        self._path = Path(path)
        self._bounds = bounds
        self._lock = threading.RLock()
        self._sync_lock = threading.Lock()
        self._is_closed = False
        self._home = Home()
        self._is_unsure = False  # a sync has failed
        self.is_unsynced = False  #: whether something was written that may not be on the disk
        try:
            self._open()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                words = f"{self._path} is in use: one process has a buffer at a time"
                raise BufferInUse(words) from error
            raise BadBuffer(f"{self._path}: {error}") from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise BadBuffer(f"{self._path}: {error}") from error
        _opened.add(self)

    def _open(self) -> None:
        self._db = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            # One connection has the file until it is closed, also against other connections of this process.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("BEGIN EXCLUSIVE")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            known = dict(self._db.execute("SELECT name, value FROM known").fetchall())
            self._db.execute("COMMIT")
            self.is_new = "stream" not in known
            self.stream = known.get("stream") or new_stream()
            self.highest = int(known.get("highest", "0"))
            self._count_up()
            self._wal = os.open(f"{self._path}-wal", os.O_RDWR)
            self._sync_folder()
        except BaseException:
            self._db.close()
            raise

    def _sync_folder(self) -> None:
        """Let the names of new files survive a power cut, where a folder can be synced."""
        with contextlib.suppress(OSError):
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _count_up(self) -> None:
        count, size = self._db.execute(_COUNT_UP, (0, _LAST_PLACE)).fetchone()
        self._count, self._bytes = int(count), int(size)

    def __len__(self) -> int:
        return self._count

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._home.check(f"the buffer {self._path}")
        with self._lock:
            if self._is_closed:
                raise BadBuffer(f"{self._path} is closed")
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
                self.is_unsynced = True
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._count_up()
                if isinstance(error, sqlite3.Error):  # such as a full disk
                    raise BadBuffer(f"{self._path}: {error}") from error
                raise

    def sync(self) -> None:
        """Return when everything that was added is on the disk."""
        with self._sync_lock:  # not the other: a slow disk must not hold up `add`
            if self.is_unsynced and not self._is_closed:
                self.is_unsynced = False  # what comes from here on sets it again
                try:
                    if self._is_unsure:
                        self._write_again()
                    else:
                        os.fsync(self._wal)
                except OSError:
                    self.is_unsynced = self._is_unsure = True
                    raise
                self._is_unsure = False

    def _write_again(self) -> None:
        """Write what only the log has into the file itself.

        After a sync that failed, the next one of the log says nothing: the system may have
        forgotten by then what it had to write, and have it in memory only.
        """
        with self._lock:
            try:
                is_busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                raise OSError(errno.EIO, f"{self._path}: {error}") from error
            if is_busy:
                raise OSError(errno.EBUSY, f"{self._path} is in use")

    def add(self, samples: Sequence[Sample]) -> int:
        with self._transaction() as db:
            db.executemany("INSERT INTO samples (key, json, ts) VALUES (?, ?, ?)", samples)
            self._count += len(samples)
            self._bytes += sum(sample.size for sample in samples)
            return self._trim(db)

    def _trim(self, db: sqlite3.Connection) -> int:
        over = self._count > self._bounds.samples or self._bytes > self._bounds.bytes
        if not over and not self._bounds.age_s:
            return 0
        kept_s = time.time() - self._bounds.age_s if self._bounds.age_s else 0.0
        (fixed,) = db.execute("SELECT coalesce(max(last), 0) FROM updates").fetchone()
        last, gone = 0, 0
        rows = db.execute(
            "SELECT place, key, json, ts FROM samples WHERE place > ? ORDER BY place", (fixed,)
        )
        for place, key, text, ts in rows:
            too_many = self._count > self._bounds.samples or self._bytes > self._bounds.bytes
            if not too_many and ts >= kept_s:
                break
            last, gone = place, gone + 1
            self._count, self._bytes = self._count - 1, self._bytes - Sample(key, text, ts).size
        rows.close()
        if gone:
            db.execute("DELETE FROM samples WHERE place > ? AND place <= ?", (fixed, last))
        return gone

    def numbered(self) -> list[Numbered]:
        with self._lock:
            rows = self._db.execute("SELECT seq, last FROM updates ORDER BY seq").fetchall()
        return [Numbered(*row) for row in rows]

    def samples(self, after: int, limit: int) -> list[Stored]:
        with self._lock:
            rows = self._db.execute(
                "SELECT place, key, json, ts FROM samples WHERE place > ? ORDER BY place LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Stored(place, Sample(key, text, ts)) for place, key, text, ts in rows]

    def number(self, updates: Sequence[Numbered], highest: int, stream: str) -> None:
        with self._transaction() as db:
            self._put_updates(db, updates)
            known = (("highest", str(highest)), ("stream", stream))
            db.executemany("INSERT OR REPLACE INTO known (name, value) VALUES (?, ?)", known)
        self.sync()
        self.highest, self.stream, self.is_new = highest, stream, False

    def settle(self, last: int, updates: Sequence[Numbered]) -> None:
        with self._transaction() as db:
            self._forget(db, 0, last)
            self._put_updates(db, updates)

    def drop(self, place: int, updates: Sequence[Numbered]) -> None:
        with self._transaction() as db:
            self._forget(db, place, place)
            self._put_updates(db, updates)

    def _forget(self, db: sqlite3.Connection, first: int, last: int) -> None:
        count, size = db.execute(_COUNT_UP, (first, last)).fetchone()
        db.execute("DELETE FROM samples WHERE place BETWEEN ? AND ?", (first, last))
        self._count, self._bytes = self._count - count, self._bytes - size

    @staticmethod
    def _put_updates(db: sqlite3.Connection, updates: Iterable[Numbered]) -> None:
        db.execute("DELETE FROM updates")
        db.executemany("INSERT INTO updates (seq, last) VALUES (?, ?)", updates)

    def taken(self, command_id: str, name: str, params: Any) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO commands (command_id, name, params) VALUES (?, ?, ?)",
                (command_id, name, json.dumps(params)),
            )
            db.execute(
                "DELETE FROM commands WHERE number <= (SELECT max(number) - ? FROM commands)",
                (KEPT_COMMANDS,),
            )
        self.sync()

    def started(self, command_id: str) -> None:
        with self._transaction() as db:
            db.execute("UPDATE commands SET is_started = 1 WHERE command_id = ?", (command_id,))
        self.sync()

    def outcome(self, command_id: str) -> dict[str, Any] | None:
        with self._lock:
            row = self._db.execute(
                "SELECT outcome FROM commands WHERE command_id = ?", (command_id,)
            ).fetchone()
        return json.loads(row[0]) if row and row[0] else None

    def ended(self, command_id: str, outcome: dict[str, Any]) -> None:
        with self._transaction() as db:
            db.execute(
                "UPDATE commands SET outcome = ? WHERE command_id = ?",
                (json.dumps(outcome), command_id),
            )
        self.sync()

    def reported(self, command_id: str) -> None:
        with self._transaction() as db:
            db.execute("UPDATE commands SET is_reported = 1 WHERE command_id = ?", (command_id,))

    def unreported(self) -> list[Taken]:
        with self._lock:
            rows = self._db.execute(
                "SELECT command_id, name, params, is_started, outcome FROM commands"
                " WHERE is_reported = 0 ORDER BY number"
            ).fetchall()
        return [
            Taken(
                command_id, name, json.loads(params), bool(started), json.loads(outcome or "null")
            )
            for command_id, name, params, started, outcome in rows
        ]

    def close(self) -> None:
        if not self._home.is_here:
            return
        with self._sync_lock, self._lock:
            if not self._is_closed:
                self._is_closed = True
                try:
                    os.fsync(self._wal)
                finally:
                    os.close(self._wal)
                    self._db.close()


async def sync_every(seconds: float, buffer: FileBuffer, device_id: str) -> None:
    """Write what was added to the disk again and again, whatever the disk says."""
    while True:
        await asyncio.sleep(seconds)
        try:
            if buffer.is_unsynced:
                await in_thread(buffer.sync)
        except OSError:
            log.exception("%s: the buffer could not be written to the disk", device_id)
