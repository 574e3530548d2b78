"""The queue of background jobs as nodes use it: enqueue by dotted name, read, retry.

RQ with its JSON serializer, as in workers/queue.py; functions are named, never imported: only workers
run them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import redis
from redis.exceptions import RedisError
from rq import Queue, Retry
from rq.exceptions import (
    DeserializationError,
    DuplicateJobError,
    InvalidJobOperation,
)
from rq.job import Job, JobStatus
from rq.registry import BaseRegistry
from rq.serializers import JSONSerializer

from service import errors
from service.acting import actor
from service.redis_access.replies import RAISED, translated

JOBS = "workers.jobs."
#: Pauses between the tries of a job whose worker died or which failed, s.
RETRIES_S = (5, 15, 60, 300, 900)
#: A batch may be large; a job of it that takes longer is tried again and continues where it was.
BATCH_TIMEOUT_S = 3600
CLEANUP_TIMEOUT_S = 600
#: How long finished and failed jobs can be read, s.
RESULT_TTL_S = 3600
FAILURE_TTL_S = 7 * 24 * 3600
#: How often a job that is waited for is read, s.
POLL_S = 0.1
#: How much of a job's error is shown.
MAX_ERROR = 500

STATES = ("queued", "started", "scheduled", "deferred", "finished", "failed")


class JobQueue:
    """The queue of one service.

    Args:
        client: of the queue's server; speaks bytes.
        name: of the queue, see config.loader.queue_name.
    """

    def __init__(
        self, client: redis.Redis, name: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._queue = Queue(name, connection=client, serializer=JSONSerializer)
        self._sleep = sleep
        self._is_over = False

    # -- enqueuing --

    def enqueue_batch(self, batch_id: str) -> None:
        """Enqueue the job of a bulk command; harmless while there is one."""
        self._enqueue(
            "send_batch", [batch_id], f"batch-{batch_id}", BATCH_TIMEOUT_S, retries_s=RETRIES_S
        )

    def enqueue_cleanup(self, arguments: dict[str, Any], number: str) -> str:
        """Enqueue a cleanup, whose result is what it removed; return the job's id."""
        return self._enqueue("cleanup", [arguments], f"cleanup-{number}", CLEANUP_TIMEOUT_S)

    def enqueue_archive(self, session_ids: Sequence[str], number: str) -> str:
        """Archive these; the result is id → `{word, session}`. Returns the job's id."""
        ids = list(session_ids)
        return self._enqueue(
            "archive_sessions",
            [ids],
            f"archive-{number}",
            BATCH_TIMEOUT_S,
            retries_s=RETRIES_S,
        )

    def enqueue_restore(self, session_id: str, number: str) -> str:
        """Restore a session from the archive; the result is `{word, session}`. Returns the job's id."""
        return self._enqueue(
            "restore_session",
            [session_id],
            f"restore-{number}",
            CLEANUP_TIMEOUT_S,
            retries_s=RETRIES_S,
        )

    def enqueue_verify(self) -> str:
        """Check the archive's files; while that runs it is the same job. Returns the job's id."""
        return self._enqueue("verify_archive", [], "verify", BATCH_TIMEOUT_S, retries_s=RETRIES_S)

    def _enqueue(
        self,
        function: str,
        args: Sequence[Any],
        job_id: str,
        timeout_s: int,
        *,
        retries_s: Sequence[int] = (),
    ) -> str:
        full_id = f"{self._queue.name}-{job_id}"

        def enqueue(unique: bool) -> None:
            self._queue.enqueue(
                JOBS + function,
                args=tuple(args),
                job_id=full_id,
                unique=unique,
                job_timeout=timeout_s,
                retry=Retry(len(retries_s), list(retries_s)) if retries_s else None,
                result_ttl=RESULT_TTL_S,
                failure_ttl=FAILURE_TTL_S,
                # who ordered it: a field that workers of every version accept
                description=actor().json,
            )

        with translated():
            try:
                enqueue(True)
            except DuplicateJobError:
                self._revive(full_id, enqueue)
        return full_id

    def _revive(self, job_id: str, enqueue: Callable[[bool], None]) -> None:
        """Enqueue again one that has ended; leave alone one that waits or runs.

        A record without a job is what a late heartbeat of RQ left of one that is gone: no job at all.
        """
        job = self._find(job_id)
        if job is None:
            self._client.unlink(Job.key_for(job_id))
            enqueue(False)
        elif job.get_status(refresh=False) in (JobStatus.FINISHED, JobStatus.FAILED):
            job.requeue() if job.is_failed else self._queue.enqueue_job(job)

    # -- reading --

    def get(self, job_id: str) -> dict[str, Any]:
        """Return a job as the API shows it.

        Raises:
            JobNotFound
        """
        with translated():
            job = self._find(job_id)
            if job is None:
                raise errors.JobNotFound(job_id=job_id)
            return _job_view(job)

    def jobs(self, states: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """Return at most `limit` jobs in these states, newest first within each."""
        found: list[dict[str, Any]] = []
        with translated():
            for state in states:
                ids = self._ids(state, limit - len(found))
                for job in filter(None, self._read(ids)):
                    try:
                        found.append(_job_view(job))
                    except RAISED:
                        raise
                    except Exception as exc:  # noqa: BLE001  logged; something else wrote it
                        errors.passed_over(exc, "jobs", str(job.id))
        return found

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in each state."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            pipe.llen(self._queue.key)
            for state in STATES[1:]:
                pipe.zcard(self._registry(state))
            return dict(zip(STATES, map(int, pipe.execute()), strict=True))

    def oldest_s(self) -> float | None:
        """For how long the job that is next has waited, s; None: none waits."""
        with translated():
            first: Any = self._client.lindex(self._queue.key, 0)
            job = self._find(_text(first)) if first else None
        if job is None or job.enqueued_at is None:
            return None
        waited = datetime.now(UTC) - _aware(job.enqueued_at)
        return max(0.0, waited.total_seconds())

    def wait(
        self, job_id: str, timeout_s: float, is_gone: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """Return the job once it has ended, or as it is after `timeout_s` or `end_waits`, or when `is_gone`.

        Raises:
            JobNotFound
        """
        deadline = time.monotonic() + timeout_s
        while True:
            job = self.get(job_id)
            is_ended = job["state"] in ("finished", "failed")
            if is_ended or self._is_over or time.monotonic() >= deadline or is_gone():
                return job
            self._sleep(POLL_S)

    def end_waits(self) -> None:
        """Wait for no job any more: this process is going away, jobs are not."""
        self._is_over = True

    def retry(self, job_id: str) -> dict[str, Any]:
        """Enqueue a failed job again.

        Raises:
            JobNotFound
            Conflict: it has not failed.
        """
        with translated():
            job = self._find(job_id)
            if job is None:
                raise errors.JobNotFound(job_id=job_id)
            try:
                job.requeue()
            except InvalidJobOperation as exc:
                raise errors.Conflict("The job has not failed.", job_id=job_id) from exc
            job.refresh()
            return _job_view(job)

    def _find(self, job_id: str) -> Job | None:
        """Return a job of this queue; None: there is none, or it cannot be read, which workers see to."""
        return self._read([job_id])[0]

    def _read(self, ids: Sequence[str]) -> list[Job | None]:
        """Read many jobs in one round trip, each as `_find` does."""
        with self._client.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(Job.key_for(job_id))
            records = pipe.execute(raise_on_error=False)
        return [self._parse(*one) for one in zip(ids, records, strict=True)]

    def _parse(self, job_id: str, record: Any) -> Job | None:
        if isinstance(record, RedisError) and not str(record).startswith("WRONGTYPE"):
            raise record
        try:
            job = Job(job_id, connection=self._client, serializer=JSONSerializer)
            job.restore(record)
        except Exception:  # noqa: BLE001 a writer to Redis can write anything
            return None
        return job if job.origin == self._queue.name else None

    def _ids(self, state: str, limit: int) -> list[str]:
        """Return the newest ids. RQ's registries are not used: reading them cleans up, as workers do."""
        if limit <= 0:
            return []
        ids: Any
        if state == "queued":
            ids = reversed(self._client.lrange(self._queue.key, -limit, -1))
        else:
            ids = self._client.zrevrange(self._registry(state), 0, limit - 1)
        return [_text(job_id).partition(":")[0] for job_id in ids]

    def _registry(self, state: str) -> str:
        registry: BaseRegistry = getattr(self._queue, state + "_job_registry")
        return str(registry.key)


def _job_view(job: Job) -> dict[str, Any]:
    state = str(job.get_status(refresh=False).value)
    result = job.latest_result() if state in ("finished", "failed") else None
    trace = (result.exc_string if result is not None else None) or ""
    try:
        name, arguments = str(job.func_name), list(job.args or ())
    except (DeserializationError, TypeError):  # written by something that is none of ours
        name, arguments = "", []
    return {
        "job_id": str(job.id),
        "name": name.removeprefix(JOBS),
        "arguments": arguments,
        "state": state,
        "enqueued_at": _iso(job.enqueued_at),
        "started_at": _iso(job.started_at),
        "ended_at": _iso(job.ended_at),
        "retries_left": job.retries_left or 0,
        "worker": job.worker_name,
        "result": result.return_value if result is not None else None,
        "error": (trace.strip().splitlines() or [""])[-1][:MAX_ERROR] or None,
    }


def _text(job_id: bytes) -> str:
    return job_id.decode(errors="backslashreplace")


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    text = _aware(moment).astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
