"""Routes for operators: nodes, jobs, alarms, statistics, cleanup."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from flask import Response

from service import errors
from service.api import problems
from service.api.authentication import current_identity
from service.api.awaited import Waiting, when_done
from service.api.models import operations, requests
from service.api.openapi import Api
from service.api.respond import json_response
from service.observability.alarms import sweeps
from service.security import permissions
from service.sessions.model import to_iso
from service.sessions.store.store import RedisSessionStore

#: Fields of a node that are flags, and those that are text; the others are numbers.
_FLAGS = ("ready", "draining")
_WORDS = ("node_id", "host", "address", "version", "async_mode", "auth", "settings")


class Jobs(Waiting, Protocol):
    """The queue of background jobs."""

    def get(self, job_id: str) -> dict[str, Any]: ...
    def jobs(self, states: Sequence[str], limit: int) -> list[dict[str, Any]]: ...
    def counts(self) -> dict[str, int]: ...
    def oldest_s(self) -> float | None: ...
    def retry(self, job_id: str) -> dict[str, Any]: ...
    def enqueue_cleanup(self, arguments: dict[str, Any], number: str) -> str: ...


class Alarms(Protocol):
    """The alarms."""

    def look(self) -> dict[str, Any]: ...


#: What a cleanup would remove: max_inactive_hours, limit, purge → sessions, whether there are more.
Preview = Callable[[float, int, bool], tuple[list[str], bool]]


class Operations:
    """The handlers."""

    def __init__(
        self, store: RedisSessionStore, jobs: Jobs, alarms: Alarms, preview: Preview
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._alarms = alarms
        self._preview = preview

    def cleanup(self, body: requests.CleanupRequest) -> Response:
        """Archive, or with `purge` delete, sessions that are not in use.

        A session is not in use if it has no connection, no clients and no activity for
        `max_inactive_hours`. Sessions with open commands are deleted, but not archived. Sessions
        that are already archived are left alone. The work is a job: if it takes longer than 30 s,
        the answer is 202, and the result is in the field `result` of `GET /jobs/{job_id}`.
        """
        if body.purge and current_identity().role != permissions.ADMIN:
            raise errors.NotAllowed("Only an admin may `purge`.")
        if body.dry_run:
            found, more = self._preview(body.max_inactive_hours, body.limit, body.purge)
            return _cleaned({"removed_sessions": found, "more": more}, dry_run=True)
        order = body.model_dump(include={"max_inactive_hours", "purge", "limit"})
        job_id = self._jobs.enqueue_cleanup(order, secrets.token_hex(8))
        return when_done(self._jobs, job_id, _cleaned_by_job)

    def list_nodes(self) -> Response:
        """List the running nodes, each with the figures it last reported."""
        return json_response({"nodes": [node_shown(node) for node in self._store.fleet.nodes()]})

    def list_jobs(self, query: requests.JobsQuery) -> Response:
        """List background jobs by state, newest first; show the queue and the sweeps."""
        states = [query.state] if query.state else ["started", "queued", "failed", "scheduled",
                                                    "deferred", "finished"]  # fmt: skip
        return json_response(
            {
                "jobs": self._jobs.jobs(states, query.limit),
                "counts": self._jobs.counts(),
                "oldest_s": self._jobs.oldest_s(),
                "sweeps": sweeps(self._store.upkeep.read(), self._store.now_ms()),
                "workers": len(self._store.fleet.workers()),
            }
        )

    def get_job(self, path: requests.JobPath) -> Response:
        """Get a background job."""
        return json_response(self._jobs.get(path.job_id))

    def retry_job(self, path: requests.JobPath) -> Response:
        """Enqueue a failed job again."""
        return json_response(self._jobs.retry(path.job_id))

    def list_alarms(self) -> Response:
        """Show what is wrong now, and what was."""
        return json_response(self._alarms.look())

    def get_stats(self) -> Response:
        """Return the whole service in figures."""
        nodes = [node_shown(node) for node in self._store.fleet.nodes()]

        def total(name: str) -> int:
            return sum(int(node.get(name) or 0) for node in nodes)

        return json_response(
            {
                "sessions": self._store.index.counts(),
                "nodes": len(nodes),
                "connections": total("connections"),
                "devices": total("devices"),
                "dashboards": total("dashboards"),
                "samples_stored": total("stored"),
                "workers": len(self._store.fleet.workers()),
                "jobs": self._jobs.counts(),
                "redis": self._store.fleet.server(),
                "time": to_iso(self._store.now_ms()),
            }
        )


def _cleaned_by_job(result: dict[str, Any]) -> Response:
    if "error" in result:
        error = result["error"]
        return problems.problem(error.pop("status"), error)
    return _cleaned(result, dry_run=False)


def _cleaned(result: Mapping[str, Any], *, dry_run: bool) -> Response:
    removed = result["removed_sessions"]
    return json_response(
        {
            "removed_sessions": removed,
            "count": len(removed),
            "failed_sessions": [
                {"session_id": session_id, "code": code}
                for session_id, code in result.get("failed_sessions", {}).items()
            ],
            "more": result["more"],
            "dry_run": dry_run,
        }
    )


def node_shown(raw: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a node, each with its type."""
    shown: dict[str, Any] = {}
    for name, text in raw.items():
        if name == "seen_at":
            shown[name] = to_iso(text)
        elif name in _FLAGS:
            shown[name] = text == "1"
        elif name in _WORDS:
            shown[name] = text
        else:
            shown[name] = _number(text)
    return {"ready": False, "draining": False, **shown}


def _number(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def register(api: Api, ops: Operations) -> None:
    """Add the routes."""
    not_found = (errors.JobNotFound,)
    api.add("POST", "/sessions/cleanup", ops.cleanup, tag="sessions",
            returns={200: operations.Cleanup, 202: operations.JobAccepted}, headers=["Location"],
            raises=(errors.Overloaded, errors.Conflict))  # fmt: skip
    api.add("GET", "/nodes", ops.list_nodes, tag="operations",
            returns={200: operations.Nodes})  # fmt: skip
    api.add("GET", "/jobs", ops.list_jobs, tag="operations",
            returns={200: operations.Jobs})  # fmt: skip
    api.add("GET", "/jobs/<segment:job_id>", ops.get_job, tag="operations",
            raises=not_found, returns={200: operations.Job})  # fmt: skip
    api.add("POST", "/jobs/<segment:job_id>/retry", ops.retry_job, tag="operations",
            raises=(*not_found, errors.Conflict), returns={200: operations.Job})  # fmt: skip
    api.add("GET", "/alarms", ops.list_alarms, tag="operations",
            returns={200: operations.Alarms})  # fmt: skip
    api.add("GET", "/stats", ops.get_stats, tag="operations",
            returns={200: operations.Stats})  # fmt: skip
