"""Where samples wait until they are acked, and what a device knows over its restarts.

An update is a row of samples in the order in which they came. Its number, and which samples it has,
are written down before it is sent for the first time. `MemoryBuffer` forgets with the process;
`FileBuffer` is a SQLite file that survives it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from muster_client.errors import BadBuffer, BufferInUse
from muster_client.samples import Sample


class Stored(NamedTuple):
    """A sample in a buffer.

    Attributes:
        place: Grows with every sample, over restarts too.
    """

    place: int
    sample: Sample


class Numbered(NamedTuple):
    """An update that has its number.

    Attributes:
        seq: Its number in the stream.
        last: Place of its last sample; it begins behind the update before it.
    """

    seq: int
    last: int


@dataclass(frozen=True)
class Bounds:
    """How much a buffer keeps; beyond it the oldest samples without a number go.

    Attributes:
        samples: How many.
        bytes: Of their keys and values.
        age_s: Since they were measured; 0: any.
    """

    samples: int = 1_000_000
    bytes: int = 256 << 20
    age_s: float = 0.0


class Buffer(Protocol):
    """What a device asks of its buffer; all calls may come from any thread."""

    #: Names the count of updates; new when the device cannot go on with the old count.
    stream: str
    #: Whether nothing was known of this device before.
    is_new: bool
    #: Highest number that was ever given out in this stream.
    highest: int

    def add(self, samples: Sequence[Sample]) -> int:
        """Keep samples; return how many others had to go."""

    def numbered(self) -> list[Numbered]:
        """Return the updates that have a number and are not settled, in order."""

    def samples(self, after: int, limit: int) -> list[Stored]:
        """Return samples behind a place, oldest first."""

    def number(self, updates: Sequence[Numbered], highest: int, stream: str) -> None:
        """Set the updates that have a number, all at once and durably."""

    def settle(self, last: int, updates: Sequence[Numbered]) -> None:
        """Forget samples up to a place, and set the updates that are left."""

    def drop(self, place: int, updates: Sequence[Numbered]) -> None:
        """Forget one sample, and set the updates that are left."""

    def __len__(self) -> int:
        """Return how many samples are kept."""

    def began(self, command_id: str) -> bool:
        """Note that a command begins; False: it did before."""

    def outcome(self, command_id: str) -> dict[str, Any] | None:
        """Return what a command came to; None: it has not ended."""

    def ended(self, command_id: str, outcome: dict[str, Any]) -> None:
        """Note what a command came to."""

    def close(self) -> None:
        """Write everything and let go."""


def new_stream() -> str:
    """Return the name of a stream that nobody has used."""
    return secrets.token_hex(12)


#: Commands whose outcome is remembered: the service keeps a hundred.
KEPT_COMMANDS = 1000


class MemoryBuffer:
    """A buffer that lasts as long as the process; see `Buffer`."""

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self.stream, self.is_new, self.highest = new_stream(), True, 0
        self._bounds = bounds
        self._lock = threading.RLock()
        self._samples: deque[Stored] = deque()
        self._bytes = 0
        self._place = 0
        self._numbered: list[Numbered] = []
        self._commands: dict[str, dict[str, Any] | None] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, samples: Sequence[Sample]) -> int:
        with self._lock:
            for sample in samples:
                self._place += 1
                self._samples.append(Stored(self._place, sample))
                self._bytes += sample.size
            return self._trim()

    def _trim(self) -> int:
        kept_s = time.time() - self._bounds.age_s if self._bounds.age_s else 0.0
        fixed = self._numbered[-1].last if self._numbered else 0
        gone: list[Stored] = []
        count, size = len(self._samples), self._bytes
        for stored in self._samples:
            if stored.place <= fixed:
                continue
            too_many = count > self._bounds.samples or size > self._bounds.bytes
            if not too_many and stored.sample.ts >= kept_s:
                break
            gone.append(stored)
            count, size = count - 1, size - stored.sample.size
        self._remove({stored.place for stored in gone})
        return len(gone)

    def _remove(self, places: set[int]) -> None:
        if places:
            kept = [stored for stored in self._samples if stored.place not in places]
            self._samples = deque(kept)
            self._bytes = sum(stored.sample.size for stored in kept)

    def numbered(self) -> list[Numbered]:
        return list(self._numbered)

    def samples(self, after: int, limit: int) -> list[Stored]:
        with self._lock:
            found = []
            for stored in self._samples:
                if stored.place > after:
                    found.append(stored)
                    if len(found) == limit:
                        break
            return found

    def number(self, updates: Sequence[Numbered], highest: int, stream: str) -> None:
        with self._lock:
            self._numbered = list(updates)
            self.highest, self.stream, self.is_new = highest, stream, False

    def settle(self, last: int, updates: Sequence[Numbered]) -> None:
        with self._lock:
            while self._samples and self._samples[0].place <= last:
                self._bytes -= self._samples.popleft().sample.size
            self._numbered = list(updates)

    def drop(self, place: int, updates: Sequence[Numbered]) -> None:
        with self._lock:
            self._remove({place})
            self._numbered = list(updates)

    def began(self, command_id: str) -> bool:
        with self._lock:
            if command_id in self._commands:
                return False
            self._commands[command_id] = None
            while len(self._commands) > KEPT_COMMANDS:
                del self._commands[next(iter(self._commands))]
            return True

    def outcome(self, command_id: str) -> dict[str, Any] | None:
        return self._commands.get(command_id)

    def ended(self, command_id: str, outcome: dict[str, Any]) -> None:
        with self._lock:
            self._commands[command_id] = outcome

    def close(self) -> None:
        """Nothing is left to write."""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
  place INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, json TEXT NOT NULL, ts REAL NOT NULL);
CREATE TABLE IF NOT EXISTS updates (seq INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS commands (
  number INTEGER PRIMARY KEY AUTOINCREMENT, command_id TEXT UNIQUE NOT NULL, outcome TEXT);
CREATE TABLE IF NOT EXISTS known (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


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

    def __init__(self, path: str | os.PathLike[str], bounds: Bounds = Bounds()) -> None:
        self._path = Path(path)
        self._bounds = bounds
        self._lock = threading.RLock()
        self._is_closed = False
        try:
            self._open()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                words = f"{self._path} is in use: one process has a buffer at a time"
                raise BufferInUse(words) from error
            raise BadBuffer(f"{self._path}: {error}") from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise BadBuffer(f"{self._path}: {error}") from error

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
            count, size = self._db.execute(
                "SELECT count(*), coalesce(sum(4 * length(key) + length(json) + 40), 0) FROM samples"
            ).fetchone()
            self._count, self._bytes = int(count), int(size)
            self._wal = os.open(f"{self._path}-wal", os.O_RDWR)
        except BaseException:
            self._db.close()
            raise

    def __len__(self) -> int:
        return self._count

    @contextlib.contextmanager
    def _transaction(self) -> Any:
        with self._lock:
            if self._is_closed:
                raise BadBuffer(f"{self._path} is closed")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def sync(self) -> None:
        """Return when everything that was added is on the disk."""
        with self._lock:
            if not self._is_closed:
                os.fsync(self._wal)

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
        rows = db.execute(
            "DELETE FROM samples WHERE place BETWEEN ? AND ? RETURNING key, json, ts", (first, last)
        ).fetchall()
        self._count -= len(rows)
        self._bytes -= sum(Sample(*row).size for row in rows)

    @staticmethod
    def _put_updates(db: sqlite3.Connection, updates: Iterable[Numbered]) -> None:
        db.execute("DELETE FROM updates")
        db.executemany("INSERT INTO updates (seq, last) VALUES (?, ?)", updates)

    def began(self, command_id: str) -> bool:
        with self._transaction() as db:
            new = db.execute(
                "INSERT OR IGNORE INTO commands (command_id) VALUES (?)", (command_id,)
            )
            db.execute(
                "DELETE FROM commands WHERE number <= (SELECT max(number) - ? FROM commands)",
                (KEPT_COMMANDS,),
            )
            begun: bool = new.rowcount == 1
        self.sync()
        return begun

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

    def close(self) -> None:
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                os.fsync(self._wal)
                os.close(self._wal)
                self._db.close()
