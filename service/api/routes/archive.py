"""Archive routes: archive and restore sessions, download and verify files, list the quarantine.

Operations that move sessions or read all files run as jobs in the workers; the request waits for the job
for a while (`awaited`). A file is checked and then downloaded piece by piece.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any, Protocol

from flask import Response

from service import errors
from service.api.awaited import Waiting, when_done
from service.api.models import operations, requests, responses
from service.api.openapi import Api
from service.api.respond import json_response, not_modified
from service.archive.errors import BadRecord
from service.archive.names import parse_name
from service.archive.store import Quarantined
from service.archive.walk import readable, session_of
from service.archiving.archiver import Archiver
from service.archiving.unquarantine import unquarantine
from service.sessions import model
from service.sessions.model import Snapshot, to_iso
from service.sessions.store.store import RedisSessionStore

#: Of a file of the archive (RFC 8878).
ZSTD = "application/zstd"
#: Of a file that may be anything.
BYTES = "application/octet-stream"


class Rules(Protocol):
    """The part of the session manager that reads archived sessions."""

    @property
    def archiver(self) -> Archiver: ...

    def read(self, session_id: str) -> Snapshot | None: ...


class Jobs(Waiting, Protocol):
    """The queue of background jobs."""

    def enqueue_archive(self, session_ids: Sequence[str], number: str) -> str: ...
    def enqueue_restore(self, session_id: str, number: str) -> str: ...
    def enqueue_verify(self) -> str: ...


class Archives:
    """The handlers."""

    def __init__(self, store: RedisSessionStore, rules: Rules, jobs: Jobs) -> None:
        self._store = store
        self._rules = rules
        self._jobs = jobs

    # -- sessions

    def archive_session(self, path: requests.SessionPath) -> Response:
        """Move a session from Redis to the archive now.

        Answers 200 when the session is archived, also if it was archived before. The work is a job:
        if it takes longer than 30 s, the answer is 202. A session that is connected, has open
        commands or has clients is not archived: `conflict`.
        """
        row = self._row(path.session_id)
        if self._is_archived(row):
            return _shown(row)
        self._archiver()
        self._check_quiet(row)

        def shown(result: dict[str, Any]) -> Response:
            word, session = _moved(result.get(path.session_id))
            if session is not None:
                return json_response(session)
            now = self._row(path.session_id)  # it stays, or another job archived it
            if self._is_archived(now):
                return _shown(now)
            if word == "too_large":
                raise errors.TooLarge("The session is larger than a file of the archive may be.")
            if word == "failed":
                raise errors.Internal("The session cannot be archived: the worker's log says why.")
            self._check_quiet(now)
            raise errors.Conflict("The session changed in the meantime: try again.")

        job_id = self._jobs.enqueue_archive([path.session_id], secrets.token_hex(8))
        return when_done(self._jobs, job_id, shown)

    def restore_session(self, path: requests.SessionPath) -> Response:
        """Restore an archived session to Redis, as inactive unless its device is expected.

        Answers 200 when the session is in Redis, also if it was there before. The work is a job: if
        it takes longer than 30 s, the answer is 202.
        """
        row = self._row(path.session_id)
        if not self._is_archived(row):
            return _shown(row)

        def shown(result: Any) -> Response:
            word, session = _moved(result)
            if session is not None:
                return json_response(session)
            if word == "corrupt":
                raise errors.ArchiveCorrupt(session_id=path.session_id)
            return _shown(self._row(path.session_id))

        job_id = self._jobs.enqueue_restore(path.session_id, secrets.token_hex(8))
        return when_done(self._jobs, job_id, shown)

    def _row(self, session_id: str) -> dict[str, str]:
        """Raw summary fields of a session, in Redis or archived.

        Raises:
            SessionNotFound
        """
        [row] = self._store.index.summaries([session_id])
        if row is None:  # the index may have been lost
            snapshot = self._rules.read(session_id)
            if snapshot is None:
                raise errors.SessionNotFound(session_id=session_id)
            row = {**snapshot.fields, "session_id": session_id}
        return row

    def _is_archived(self, row: dict[str, str]) -> bool:
        """Return whether the session is in the archive; it may count as active there, while its device sleeps."""
        if row["state"] != model.ACTIVE:
            return row["state"] == model.ARCHIVED
        return self._store.archive_index.name_of(row["session_id"]) is not None

    @staticmethod
    def _check_quiet(row: dict[str, str]) -> None:
        session_id = row["session_id"]
        for is_busy, why in (
            (row.get("is_connected") == "1", "It is connected."),
            (int(row.get("open_commands") or 0), "It has open commands: cancel them first."),
            (int(row.get("active_clients") or 0), "It has clients: they must leave first."),
        ):
            if is_busy:
                raise errors.Conflict(f"The session was not archived. {why}", session_id=session_id)

    def _archiver(self) -> Archiver:
        return self._rules.archiver.required()

    # -- files

    def download_archive(
        self, path: requests.SessionPath, header: requests.IfNoneMatch
    ) -> Response:
        """Download the file of an archived session; `muster archive import` reads this format.

        A session that is in Redis has no file: `file_not_found`. The ETag is the session's ETag.
        """
        session_id, archiver = path.session_id, self._rules.archiver
        if not archiver.exists or self._store.cleanup.states([session_id]) != [None]:
            self._row(session_id)
            raise errors.FileNotFound("The session is not archived.", session_id=session_id)
        found = archiver.file_of(session_id)
        if found is None:
            raise errors.SessionNotFound(session_id=session_id)
        name, size = found
        parsed = parse_name(name)
        tag = f"{parsed.generation}-{parsed.rev}"
        response = not_modified(tag)
        if response is None:
            response = Response(archiver.archive.pieces(name, size), content_type=ZSTD)
            response.content_length = size
            response.headers["Content-Disposition"] = f'attachment; filename="{file_name(name)}"'
            response.set_etag(tag)
        return response

    def verify_archive(self) -> Response:
        """Check every file of the archive against all its checksums, without moving any file.

        The work is a job: if it takes longer than 30 s, the answer is 202, and the result is in the
        field `result` of `GET /jobs/{job_id}`. While a check is running, a second request waits for
        the same check.
        """
        self._archiver()
        return when_done(self._jobs, self._jobs.enqueue_verify(), json_response)

    # -- quarantine

    def list_quarantine(self, query: requests.QuarantineQuery) -> Response:
        """List the files in quarantine, oldest first, each with the reason."""
        archiver = self._rules.archiver
        items = archiver.archive.store.quarantined() if archiver.exists else []
        after = _parse_cursor(query.cursor)
        page = [one for one in items if (one.at_ms, one.item) > after]
        more = len(page) > query.limit
        page = page[: query.limit]
        return json_response(
            {
                "items": [_quarantined(one) for one in page],
                "next": f"{page[-1].at_ms}-{page[-1].item}" if more else None,
                "total": len(items),
            }
        )

    def download_quarantined(self, path: requests.QuarantinePath) -> Response:
        """Download a file in quarantine as it is; it may be anything.

        `conflict`: what was set aside is not a file, or too large to be one of the archive.
        """
        archiver = self._rules.archiver
        items = archiver.archive.store.quarantined() if archiver.exists else []
        found = next((one for one in items if one.item == path.item), None)
        if found is None:
            raise errors.FileNotFound(item=path.item)
        try:
            pieces = archiver.archive.quarantined_pieces(found)
        except BadRecord as exc:
            raise errors.Conflict(f"It cannot be read: {exc.reason}.", item=path.item) from exc
        response = Response(pieces, content_type=BYTES)
        response.content_length = found.size_bytes
        name = file_name(found.name) or "nameless"
        response.headers["Content-Disposition"] = f'attachment; filename="{found.item}-{name}"'
        return response

    def unquarantine(self, body: requests.UnquarantineRequest) -> Response:
        """Put a file back where it was, when it can be read by now, and its session into the lists.

        `conflict`: the file is still invalid, or a file with its name exists again.
        """
        if not self._rules.archiver.exists:
            raise errors.FileNotFound(item=body.item)
        back = unquarantine(self._rules.archiver, body.item)
        return json_response(
            {
                "item": back.item,
                "name": back.name,
                "session_id": back.session_id,
                "is_archived": back.word in ("ok", "newer", "known"),
            }
        )


def file_name(name: str) -> str:
    """Return the file name of a download, without characters that are special in a header or a shell."""
    return re.sub(r"%..", "_", name.rpartition("/")[2])


def _moved(result: Any) -> tuple[str | None, dict[str, Any] | None]:
    """Return what became of a session in a job, and its summary; workers of before gave only the word."""
    if not isinstance(result, dict):
        return result, None
    return result["word"], result["session"]


def _shown(row: dict[str, str]) -> Response:
    return json_response(model.summary(row, iso=True))


def _quarantined(one: Quarantined) -> dict[str, Any]:
    return {
        "item": one.item,
        "name": readable(one.name),
        "session_id": session_of(one.name),
        "reason": readable(one.reason),
        "at": to_iso(one.at_ms),
        "bytes": one.size_bytes,
    }


def _parse_cursor(cursor: str | None) -> tuple[int, str]:
    at_ms, _, item = (cursor or "-1-").rpartition("-")
    return int(at_ms), item


def register(api: Api, archives: Archives) -> None:
    """Add the routes."""
    one = "/sessions/<segment:session_id>"
    not_found = (errors.SessionNotFound, errors.ArchiveCorrupt)
    job = {202: operations.JobAccepted}
    api.add("POST", one + "/archive", archives.archive_session, tag="archive", headers=["Location"],
            returns={200: responses.Summary, **job},
            raises=(*not_found, errors.Conflict, errors.TooLarge, errors.Overloaded))  # fmt: skip
    api.add("POST", one + "/restore", archives.restore_session, tag="archive", headers=["Location"],
            returns={200: responses.Summary, **job}, raises=(*not_found, errors.Overloaded))  # fmt: skip
    api.add("GET", "/archive/<segment:session_id>", archives.download_archive, tag="archive",
            headers=["ETag", "Content-Disposition"], raises=(*not_found, errors.FileNotFound),
            returns={200: {ZSTD: bytes}, 304: None})  # fmt: skip
    api.add("POST", "/archive/verify", archives.verify_archive, tag="archive", headers=["Location"],
            returns={200: operations.Verification, **job},
            raises=(errors.Conflict, errors.Overloaded))  # fmt: skip
    api.add("GET", "/archive/quarantine", archives.list_quarantine, tag="archive",
            returns={200: operations.Quarantine})  # fmt: skip
    api.add("POST", "/archive/quarantine", archives.unquarantine, tag="archive",
            returns={200: operations.Unquarantined},
            raises=(errors.FileNotFound, errors.Conflict, errors.Overloaded))  # fmt: skip
    api.add("GET", "/archive/quarantine/<segment:item>", archives.download_quarantined, tag="archive",
            headers=["Content-Disposition"], raises=(errors.FileNotFound, errors.Conflict),
            returns={200: {BYTES: bytes}})  # fmt: skip
