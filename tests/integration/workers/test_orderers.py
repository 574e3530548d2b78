"""Jobs act for who ordered them, and take the orders of every version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from rq.job import Job

from service.acting import SERVICE, Actor, acting_for, actor
from service.archiving.archiver import Archiver
from service.redis_access.job_queue import JobQueue
from service.sessions.store.store import RedisSessionStore
from workers import jobs
from workers.entries import read_job


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as one:
        yield one


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        (None, Actor("anna", "operator", "job")),
        ("workers.jobs.restore_session('d1')", SERVICE),  # of an earlier version
        ("{", SERVICE),
        ("[" * 100_000, SERVICE),
        ("", SERVICE),
    ],
    ids=["ordered now", "before", "cut", "deep", "empty"],
)
def test_job_acts_for_who_ordered_it(
    raw: redis.Redis,
    key_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    description: str | None,
    expected: Actor,
) -> None:
    monkeypatch.setattr(jobs, "restore_session", lambda session_id: [session_id, actor()])
    with acting_for(Actor("anna", "operator", "rest")):
        job_id = JobQueue(raw, key_prefix).enqueue_restore("d1", "1")
    if description is not None:
        raw.hset(Job.key_for(job_id), "description", description)
    # it has no field but those of every version
    job = read_job(raw, job_id.encode(), key_prefix)
    assert job.perform() == ["d1", expected]
    assert actor() == SERVICE


def test_file_and_restored_session_say_who_moved_them(
    store: RedisSessionStore, archiver: Archiver
) -> None:
    """The file is made by threads of its own."""
    store.ownership.create("d1")
    store.cleanup.deactivate(["d1"])
    with acting_for(Actor("anna", "operator", "job")):
        assert [one.word for one in archiver.archive_sessions(["d1"])] == ["archived"]
    with acting_for(Actor("bob", "operator", "rest")):
        assert archiver.restore("d1")
    found = [(one["event"], one["by"]["who"]) for one in store.index.timeline("d1")]
    assert found[-2:] == [("archived", "anna"), ("restored", "bob")]
