"""Read-ahead of sessions to archive: read and encoded while others are written and committed.

Reading a long session from Redis and compressing it takes longer than writing it, and a worker that does one
after the other waits most of its time: for Redis, for the disk, for zstd. All three let other threads of
the interpreter run. So a few threads read and encode the next sessions while the caller's own thread syncs
files and commits. What they hold is bounded: `AHEAD` batches of about `BATCH_TEXT_BYTES` of text, and the
files of batches that wait are a fraction of that.

A session may change between being read and being committed: the commit compares it with what was read.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from typing import Any

from service.acting import actor
from service.archive.archive import Archive
from service.archive.errors import RecordTooLarge
from service.archiving.records import record_of
from service.errors import ServiceError, passed_over
from service.sessions import model
from service.sessions.model import Capture
from service.sessions.store.archive_index import Commit
from service.sessions.store.store import RedisSessionStore

log = logging.getLogger(__name__)

#: Threads that read and encode. Two keep Redis and a second core busy; more take the caller's own time.
THREADS = 2
#: Batches in progress or waiting.
AHEAD = 8
#: Text of a batch, estimated by the sizes of the sessions before.
BATCH_TEXT_BYTES = 1 << 20
#: Sessions of the first batch, whose size is not known, and of any batch at most.
FIRST_SESSIONS, MOST_SESSIONS = 8, 100


@dataclass(frozen=True, slots=True)
class Prepared:
    """A session's file, in memory, and what its commit needs."""

    commit: Commit
    data: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Some sessions: files of those that can be archived, and the reasons of the others."""

    files: list[Prepared]
    left: dict[str, str]  #: session id → missing, newer, active, busy, too_large or failed
    text_bytes: int


class ReadAhead:
    """Reads sessions and encodes their files."""

    def __init__(self, store: RedisSessionStore, archive: Archive) -> None:
        self._store = store
        self._archive = archive
        self._by = actor()  # who archives: threads do not know it

    def batches(self, session_ids: Iterable[str]) -> Generator[Batch]:
        """Yield all of these, in their order. Close it if you do not reach its end.

        Raises:
            StoreUnavailable
        """
        ids = iter(session_ids)
        count = FIRST_SESSIONS
        with ThreadPoolExecutor(THREADS, "archive") as pool:  # starts threads when there is work
            ahead: deque[Future[Batch]] = deque()
            try:
                if some := list(islice(ids, count)):
                    batch = self.prepare(some)
                    count = _next_count(batch, len(some))
                    yield batch
                while some := list(islice(ids, count)):
                    ahead.append(pool.submit(self.prepare, some))
                    if len(ahead) >= AHEAD:
                        batch = ahead.popleft().result()
                        count = _next_count(batch, len(batch.files) + len(batch.left))
                        yield batch
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def prepare(self, session_ids: list[str]) -> Batch:
        """Read and encode these sessions as one batch."""
        batch = Batch([], {}, 0)
        size = 0
        for session_id, capture in zip(session_ids, self._captures(session_ids), strict=True):
            try:
                if isinstance(capture, Exception):
                    raise capture
                word = capture if isinstance(capture, str) else _fate(capture)
                if not isinstance(capture, str) and not word:
                    size += sum(map(len, capture.histories.values()))
                    batch.files.append(self._encode(capture))
            except RecordTooLarge as exc:
                word = "too_large"
                fields = {"action": "archive_too_large", "session_id": session_id}
                log.error("session cannot be archived", extra={**fields, "why": str(exc)})
            except Exception as exc:  # noqa: BLE001  logged; of this session alone
                passed_over(exc, "archive", session_id)
                word = "failed"
            if word:
                batch.left[session_id] = word
        return Batch(batch.files, batch.left, size)

    def _captures(self, session_ids: list[str]) -> list[Capture | str | Exception]:
        """Read each at one moment; one that cannot be read does not affect the others."""
        try:
            return [*self._store.captures.read(session_ids)]
        except ServiceError:
            raise
        except Exception as exc:  # noqa: BLE001  it is one of them; logged where that is known
            if len(session_ids) == 1:
                return [exc]
        half = len(session_ids) // 2
        return self._captures(session_ids[:half]) + self._captures(session_ids[half:])

    def _encode(self, capture: Capture) -> Prepared:
        record = record_of(capture, self._by)
        commit = Commit(
            record.session_id,
            record.name,
            record.rev,
            record.summary,
            capture.life,
            capture.snapshot.fields,
        )
        return Prepared(commit, self._archive.encode(record))


class OneBehind:
    """Runs the last step of a batch in a thread, while the caller does the earlier ones of the next batch.

    One at a time, in order, and on behalf of the caller. When it is left, nothing runs any more.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "archive-commit")  # starts its thread when there is work
        self._last: Future[object] | None = None

    def __enter__(self) -> OneBehind:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(self, step: Callable[..., object], *args: Any) -> None:
        """Run a step once the one before is done; raises what that one has raised."""
        self.wait()
        self._last = self._pool.submit(copy_context().run, step, *args)

    def wait(self) -> None:
        """Wait until all is done; raises what the last step has raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


def _next_count(batch: Batch, sessions: int) -> int:
    """Return how many sessions make a batch, when they are as large as these."""
    average = batch.text_bytes // max(1, sessions) + 1
    return min(MOST_SESSIONS, max(1, BATCH_TEXT_BYTES // average))


def _fate(capture: Capture) -> str:
    """Return why a session is not archived now; "" when it may be."""
    fields = capture.snapshot.fields
    # one without a connection may sleep, which the commit knows
    if fields.get("state") != model.INACTIVE and fields.get("is_connected") != "0":
        return "active"
    if int(fields.get("open_commands") or 0) or int(fields.get("active_clients") or 0):
        return "busy"
    return ""
