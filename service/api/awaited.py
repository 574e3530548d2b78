"""Routes whose work is a job: the request waits for the job, and after `WAIT_S` answers where to look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from flask import Response, request

from service import errors
from service.api.openapi import PREFIX
from service.api.paths import in_path
from service.api.respond import json_response
from service.transport.http.client import Client
from service.transport.http.guard import CLIENT

#: How long a request waits for its job, s.
WAIT_S = 30.0


class Waiting(Protocol):
    """The part of the queue that waits."""

    def wait(
        self, job_id: str, timeout_s: float, is_gone: Callable[[], bool]
    ) -> dict[str, Any]: ...


def has_hung_up() -> Callable[[], bool]:
    """Return what tells whether the client of this request has hung up; its answer is of no use then."""
    client: Client | None = request.environ.get(CLIENT)
    return _is_there if client is None else client.is_gone


def _is_there() -> bool:
    return False


def when_done(jobs: Waiting, job_id: str, shown: Callable[[Any], Response]) -> Response:
    """Return the answer that `shown` makes from the job's result.

    It is 202 if the job takes longer than WAIT_S, or than its client waits.

    Raises:
        Internal: the job failed for good.
    """
    job = jobs.wait(job_id, WAIT_S, has_hung_up())
    if job["state"] == "finished":
        return shown(job["result"])
    if job["state"] == "failed":
        raise errors.Internal("The job failed: see GET /jobs/{job_id}.", job_id=job_id)
    accepted = {"job_id": job_id, "state": job["state"]}
    return json_response(accepted, 202, Location=f"{PREFIX}/jobs/{in_path(job_id)}")
