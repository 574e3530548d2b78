"""What may be in the queue: jobs of ours. All else goes to quarantine, where an operator can look at it.

Who can write to Redis can put anything there, and a version that is newer or older may. RQ would run what
an entry names, also callbacks and web hooks, and stumbles over records it cannot read. So an entry is
checked before anything is done with it, in every list of RQ: it is a job of ours only if its record has no
fields but those that our own jobs use. Others go to `P:quarantined_jobs` as JSON (`at_ms, entry, reason,
record`), newest first; their records stay as they are, because they may be another program's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import redis
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from service.acting import SERVICE, Actor, acting_for

JOBS = "workers.jobs."
#: The functions of workers.jobs that are jobs.
FUNCTIONS = frozenset({
    "archive_sessions", "cleanup", "collect_litter", "purge_expired_archives", "relieve_memory_pressure",
    "restore_session", "run_sweep", "send_batch", "sweep_idle", "sweep_inactive", "verify_archive",
    "watch_alarms",
})  # fmt: skip
#: Of RQ's fields those that jobs of ours use; all others have to be empty.
FIELDS = frozenset({
    b"created_at", b"data", b"description", b"ended_at", b"enqueued_at", b"exc_info", b"failure_ttl",
    b"last_heartbeat", b"number_of_retries", b"origin", b"result_ttl", b"retries_left",
    b"retry_intervals", b"started_at", b"status", b"timeout", b"worker_name",
})  # fmt: skip
#: What is kept of entries that are no jobs: so many, and of each field so many characters.
KEPT, KEPT_TEXT = 100, 2_000

log = logging.getLogger(__name__)


class NoJobOfOurs(Exception):
    """Why an entry is none."""


class Ended(NoJobOfOurs):
    """A job of ours that is gone: another worker finished it, after this entry was written or read."""


class KnownJob(Job):
    """A job that runs functions of `workers.jobs` only, and nothing else."""

    @property
    def func(self) -> Callable[..., Any]:
        """Return the function behind the dotted name.

        Raises:
            NoJobOfOurs
        """
        name = str(self.func_name)
        if not name.startswith(JOBS) or name.removeprefix(JOBS) not in FUNCTIONS or self.instance:
            raise NoJobOfOurs(f"{name!r} is no job of Muster")
        function: Callable[..., Any] = super().func
        return function

    def perform(self) -> Any:
        """Run it for who ordered it, which stands in its description; RQ calls it."""
        with acting_for(_orderer(str(self.description))):
            return super().perform()

    @property
    def success_callback(self) -> None:
        """None, whatever the record names."""

    @property
    def failure_callback(self) -> None:
        """None, whatever the record names."""

    @property
    def stopped_callback(self) -> None:
        """None, whatever the record names."""

    def send_webhooks(self, status: object, *, exc_string: str | None = None) -> None:
        """None are sent."""

    def retry(self, queue: Any, pipeline: Any) -> None:
        """Enqueue it again, at once or after its next pause, by Redis's clock: workers may have others.

        Args:
            queue: its own.
            pipeline: all of it happens with whatever else is in there, or not at all.
        """
        pause_s = self.get_retry_interval()
        self.retries_left = (self.retries_left or 1) - 1
        if not pause_s:
            queue._enqueue_job(self, pipeline=pipeline)
            return
        due_s = redis_ms(self.connection) / 1000 + pause_s
        queue._persist_job(self, pipeline, status=JobStatus.SCHEDULED)
        pipeline.zadd(queue.scheduled_job_registry.key, {self.id: due_s})


def _orderer(description: str) -> Actor:
    try:
        return Actor.of(json.loads(description), "job")
    except (ValueError, RecursionError):  # of a sweep, or of a node of an earlier version
        return SERVICE


def redis_ms(client: redis.Redis) -> int:
    """Return Redis's time, ms since 1970: there is no other clock that all workers have."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def drop_rest(client: redis.Redis, job_id: str) -> None:
    """Remove what a late heartbeat left of a job that is gone."""
    client.eval(
        "if redis.call('HEXISTS', KEYS[1], 'data') == 0 then redis.call('UNLINK', KEYS[1]) end",
        1,
        Job.key_for(job_id),
    )


def read_job(client: redis.Redis, entry: bytes, queue_name: str) -> KnownJob:
    """Return the job behind an entry of the queue or of a registry.

    Raises:
        NoJobOfOurs: `Ended` where it was one.
    """
    try:
        job = KnownJob(entry.decode(), connection=client, serializer=JSONSerializer)
        record: Any = client.hgetall(job.key)
        if not record and entry.startswith(f"{queue_name}-".encode()):
            raise Ended("it has ended")
        odd = sorted(name for name, value in record.items() if value and name not in FIELDS)
        if odd:
            raise NoJobOfOurs(f"its record has {b', '.join(odd)!r}")
        job.restore(record)
        if job.origin != queue_name:
            raise NoJobOfOurs(f"it is of the queue {job.origin!r}")
        job.func  # noqa: B018  raises
        if not (isinstance(job.args, list) and type(job.kwargs) is dict):
            raise NoJobOfOurs("its arguments are none")
    except NoJobOfOurs:
        raise
    except RedisError as exc:
        if not str(exc).startswith("WRONGTYPE"):
            raise
        raise NoJobOfOurs("what has its name is no record") from exc
    except NoSuchJobError as exc:
        raise NoJobOfOurs("it has no record") from exc
    except Exception as exc:
        raise NoJobOfOurs(f"its record cannot be read: {exc!r}") from exc
    return job


class Quarantine:
    """Where entries go that are no jobs.

    Args:
        client: of the queue's server.
        key: of the list.
    """

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._client = client
        self._key = key

    def __len__(self) -> int:
        return int(self._client.llen(self._key))

    def put(self, entry: bytes, reason: str, now_ms: int) -> None:
        """Keep one, which its finder has taken from where it was."""
        shown = _text(entry)
        log.error(
            "an entry of the queue is no job and went to quarantine",
            extra={"action": "job_quarantined", "job": shown, "error": reason, "throttle": 1},
        )
        record = self._record(entry)
        kept = {"at_ms": now_ms, "entry": shown, "reason": reason[:KEPT_TEXT], "record": record}
        with self._client.pipeline() as pipe:
            pipe.lpush(self._key, json.dumps(kept))
            pipe.ltrim(self._key, 0, KEPT - 1)
            pipe.execute()

    def _record(self, entry: bytes) -> dict[str, str]:
        try:
            found: Any = self._client.hgetall(Job.redis_job_namespace_prefix.encode() + entry)
        except redis.exceptions.ResponseError as exc:
            return {"": str(exc)}
        return {_text(name): _text(value) for name, value in found.items()}


def _text(raw: bytes) -> str:
    return raw[:KEPT_TEXT].decode(errors="backslashreplace")
