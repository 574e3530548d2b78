"""Bulk commands: one command for many devices, in a background job.

A batch is a record in Redis before its job is enqueued, and the job moves it along: first it finds the
devices (those named, or page by page those that match a filter), then it queues the command for one after
the other, and records its progress after every CHUNK. The command's id follows from batch and device,
and the store takes an id once. So the job may die at any point, run again, or run twice at a time:
every device gets the command once.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import orjson

from service import errors
from service.manager.manager import SessionManager
from service.schema.limits import CALL_SESSIONS
from service.schema.names import known_id
from service.schema.values import check_value, digest_of
from service.sessions import model
from service.sessions.model import to_iso
from service.sessions.store.index import is_match
from service.sessions.store.store import RedisSessionStore

#: Devices between two records of the progress.
CHUNK = 100

STATES = {"all": (model.ACTIVE, model.INACTIVE)}


class Jobs(Protocol):
    """The queue of background jobs."""

    def enqueue_batch(self, batch_id: str) -> None: ...


def command_id_of(batch_id: str, session_id: str) -> str:
    """Return the id of a batch's command for one device."""
    return hashlib.sha256(f"{batch_id}\0{session_id}".encode()).hexdigest()[:32]


class Batches:
    """Starts and shows bulk commands, on nodes.

    Args:
        max_value_bytes: bound of `params`.
    """

    def __init__(self, store: RedisSessionStore, jobs: Jobs, max_value_bytes: int) -> None:
        self._store = store
        self._jobs = jobs
        self._max_value_bytes = max_value_bytes

    def start(
        self,
        request: dict[str, Any],
        session_ids: Sequence[str] | None,
        idempotency_key: str = "",
        *,
        limit: int = 100,
        projects: Collection[str] | None = None,
    ) -> dict[str, Any]:
        """Store a batch and enqueue its job; return it as `show` does, as it was stored.

        Args:
            request: `command`, `params`, `ttl_s`, `filter` where no sessions are named, and `projects`
                where only devices that are then in these get it.
            session_ids: the devices; None: those of the filter.
            idempotency_key: the same key again returns the same batch and starts nothing.
            limit, projects: as for `show`.

        Raises:
            InvalidRequest, TooLarge, StoreUnavailable, Overloaded
            IdempotencyMismatch: the key came with another request before.
        """
        check_value("params", request.get("params"), self._max_value_bytes)
        ids = None if session_ids is None else [known_id(one) for one in session_ids]
        digest = digest_of([request, ids])
        if idempotency_key:
            batch_id = hashlib.sha256(b"bulk\0" + idempotency_key.encode()).hexdigest()[:32]
        else:
            batch_id = uuid.uuid4().hex
        with self._store.replicated():
            kept = self._store.bulk.get(batch_id) or self._store.bulk.create(
                batch_id,
                {
                    "request": orjson.dumps(request).decode(),
                    "digest": digest,
                    "state": "new",
                    "created_at": self._store.now_ms(),
                },
            )
            if kept.get("digest", digest) != digest:
                raise errors.IdempotencyMismatch(batch_id=batch_id)
            if kept["state"] == "new":
                self._name_devices(batch_id, ids)
            if kept["state"] in ("new", "queued"):
                self._jobs.enqueue_batch(batch_id)
        if kept["state"] != "new":
            return self.show(batch_id, limit=limit, projects=projects)
        if ids is None:
            return _view(batch_id, kept, {}, [], "0")
        total, named = len(ids), ids[:limit]
        devices = [_waiting(session_id) for session_id in named]
        following = str(limit) if total > limit else None
        return _view(
            batch_id, {**kept, "total": str(total)}, {"waiting": total}, devices, following
        )

    def _name_devices(self, batch_id: str, ids: Sequence[str] | None) -> None:
        if ids is not None:
            self._store.bulk.add_devices(batch_id, ids)
            self._store.bulk.set(batch_id, {"total": len(ids)})
        self._store.bulk.set(batch_id, {"state": "queued"})

    def show(
        self,
        batch_id: str,
        *,
        limit: int,
        first: int = 0,
        projects: Collection[str] | None = None,
    ) -> dict[str, Any]:
        """Return a batch, how many devices have which status, and a page of them.

        Args:
            batch_id: of a batch.
            limit: devices at most.
            first: number of the first one.
            projects: those that the caller may see; None: all.

        Raises:
            BatchNotFound: also when it was not for these projects alone.

        Redis: one read of every device's command, CALL_SESSIONS in a round trip.
        """
        fields = self._store.bulk.get(batch_id)
        request = orjson.loads(fields["request"]) if fields else {}
        if fields is None or not _is_within(request, projects):
            raise errors.BatchNotFound(batch_id=batch_id)
        size = self._store.bulk.size(batch_id)
        sent = int(fields.get("sent") or 0)
        statuses: dict[str, int] = {}
        for begin in range(0, size, CALL_SESSIONS):
            ids = self._store.bulk.devices(batch_id, begin, CALL_SESSIONS)
            for device in self._devices(batch_id, ids, sent - begin, results=False):
                statuses[device["status"]] = statuses.get(device["status"], 0) + 1
        ids = self._store.bulk.devices(batch_id, first, limit)
        left = first + len(ids) < size or "total" not in fields
        devices = self._devices(batch_id, ids, sent - first, results=True)
        following = str(first + len(ids)) if left else None
        return _view(batch_id, fields, statuses, devices, following)

    def _devices(
        self, batch_id: str, ids: Sequence[str], sent: int, *, results: bool
    ) -> list[dict[str, Any]]:
        """Return the status at these devices, of which the first `sent` were done."""
        wanted = [(session_id, command_id_of(batch_id, session_id)) for session_id in ids]
        found = self._store.bulk.commands_of(wanted, results=results)
        refused = self._store.bulk.refused(batch_id, ids)
        shown = []
        for i, (session_id, command_id) in enumerate(wanted):
            state, error = found[i], refused[i]
            if state is not None:
                shown.append({"session_id": session_id, "command_id": command_id, **state})
            elif error is not None:
                shown.append(
                    {
                        "session_id": session_id,
                        "command_id": None,
                        "status": "refused",
                        "error": error,
                    }
                )
            else:
                status = "unknown" if i < sent else "waiting"
                shown.append({**_waiting(session_id), "status": status})
        return shown


def _waiting(session_id: str) -> dict[str, Any]:
    return {"session_id": session_id, "command_id": None, "status": "waiting"}


def _view(
    batch_id: str,
    fields: Mapping[str, str],
    statuses: dict[str, int],
    devices: list[dict[str, Any]],
    following: str | None,
) -> dict[str, Any]:
    """Return a batch as the API shows it, from what is kept of it."""
    request = orjson.loads(fields["request"])
    return {
        "batch_id": batch_id,
        "command": request["command"],
        "params": request.get("params"),
        "state": "queued" if fields["state"] == "new" else fields["state"],
        "created_at": to_iso(fields["created_at"]),
        "finished_at": to_iso(fields.get("finished_at")),
        "total": int(fields["total"]) if "total" in fields else None,
        "statuses": statuses,
        "devices": devices,
        "next": following,
    }


def _is_within(request: dict[str, Any], projects: Collection[str] | None) -> bool:
    """Return whether a batch was for some of these projects and no other."""
    if projects is None:
        return True
    wanted = request.get("projects")
    return wanted is not None and set(wanted) <= set(projects)


def run_batch(
    manager: SessionManager, batch_id: str, step: Callable[[str], None] = lambda name: None
) -> int:
    """Do the rest of a batch; return how many devices it went through.

    Args:
        manager: of the service.
        batch_id: of a batch; an unknown one counts as done.
        step: called with the name of each step, so that tests can stop there.

    Raises:
        StoreUnavailable, Overloaded: run it again.
    """
    store = manager.store
    fields = store.bulk.get(batch_id)
    if fields is None or fields["state"] == "done":
        return 0
    request = orjson.loads(fields["request"])
    if fields["state"] != "running":
        store.bulk.set(batch_id, {"state": "running"})
    if "total" not in fields:
        _find_devices(store, batch_id, request["filter"], fields.get("found_to"), step)
    sent = int(fields.get("sent") or 0)
    done = 0
    while ids := store.bulk.devices(batch_id, sent, CHUNK):
        refused = {}
        outside = _outside_projects(store, ids, request.get("projects"))
        for session_id in ids:
            error: dict[str, Any] | None
            if session_id in outside:
                error = errors.SessionNotFound(session_id=session_id).body()
            else:
                error = _send(manager, batch_id, session_id, request)
            if error is not None:
                refused[session_id] = error
            step("sent")
        store.bulk.refuse(batch_id, refused)
        sent += len(ids)
        done += len(ids)
        store.bulk.set(batch_id, {"sent": sent})
        step("noted")
    store.bulk.set(batch_id, {"state": "done", "finished_at": store.now_ms()})
    return done


def _outside_projects(
    store: RedisSessionStore, ids: Sequence[str], projects: Collection[str] | None
) -> set[str]:
    """Return the sessions that are in none of the projects by now."""
    if projects is None:
        return set()
    rows = zip(ids, store.index.summaries(ids), strict=True)
    return {one for one, row in rows if row is None or row.get("project_id", "") not in projects}


def _find_devices(
    store: RedisSessionStore,
    batch_id: str,
    wanted: dict[str, Any],
    cursor: str | None,
    step: Callable[[str], None],
) -> None:
    states = STATES.get(wanted["state"]) or (wanted["state"],)
    q, project_id, node_id = (wanted.get(name) or None for name in ("q", "project_id", "node_id"))
    while True:
        if node_id is None:
            page = store.index.page(
                states, limit=CALL_SESSIONS, cursor=cursor, q=q, project_id=project_id
            )
        else:
            page = store.fleet.page_of_node(node_id, limit=CALL_SESSIONS, cursor=cursor)
        ids = [
            row["session_id"]
            for row in page.items
            if row.get("state") in states
            and is_match(row, q)
            and (project_id is None or row.get("project_id") == project_id)
        ]
        store.bulk.add_devices(batch_id, ids)
        step("found")
        if page.next is None:
            store.bulk.set(batch_id, {"total": store.bulk.size(batch_id)})
            return
        cursor = page.next
        store.bulk.set(batch_id, {"found_to": cursor})


def _send(
    manager: SessionManager, batch_id: str, session_id: str, request: dict[str, Any]
) -> dict[str, Any] | None:
    """Queue the command for one device; return the refusal, when it is about this device."""
    try:
        manager.queue_command(
            session_id,
            request["command"],
            request.get("params"),
            ttl_s=request.get("ttl_s"),
            command_id=command_id_of(batch_id, session_id),
        )
    except (errors.SessionNotFound, errors.DeviceOffline) as error:
        return error.body()
    except Exception as error:  # noqa: BLE001  logged and reported; Redis that is away or full ends the run
        return errors.passed_over(error, "bulk command", session_id).body()
    return None
