"""Rescue by several workers at once, of what ended meanwhile, and what it counts and removes."""

from __future__ import annotations

import time
from typing import Any

import redis
from rq.job import Job

from service.sessions.store.store import RedisSessionStore
from tests.integration.workers.test_rescue import (
    JOB,
    Monotonic,
    begin,
    client,
    monotonic,
    queue,
    rescue,
    store,
)
from workers import queue as queues
from workers.rescue import DEAD_S, Rescue

__all__ = ["client", "monotonic", "queue", "rescue", "store"]


def waiting(queue: queues.JobsQueue) -> list[str]:
    return queue.get_job_ids()


def test_entry_that_another_worker_moved_is_not_moved_again(
    queue: queues.JobsQueue, client: redis.Redis, rescue: Rescue
) -> None:
    """Both had seen it: one moves it."""
    job = queue.enqueue(JOB, job_id=f"{queue.name}-one")
    between = queue.intermediate_queue.key
    client.lmove(queue.key, between)
    moves = [rescue._put_back(keys=[between, queue.key], args=[job.id]) for _ in range(2)]
    assert moves == [1, 0]
    assert waiting(queue) == [job.id]
    queue.remove(job)
    client.zadd(rescue._scheduled, {job.id: 1})
    for _ in range(2):
        rescue._move_one(job.id.encode())
    assert waiting(queue) == [job.id]


def test_job_whose_heart_beats_while_it_is_looked_at_stays_with_its_worker(
    queue: queues.JobsQueue, client: redis.Redis, rescue: Rescue
) -> None:
    begin(queue, "one")
    [(entry, beat)] = client.zrange(rescue._started, 0, -1, withscores=True)  # type: ignore[misc]
    client.zadd(rescue._started, {entry: beat + 5})
    rescue._take_up(entry, beat)
    assert client.zcard(rescue._started) == 1
    assert waiting(queue) == []


def test_job_that_started_after_all_is_not_put_back(
    queue: queues.JobsQueue, client: redis.Redis, rescue: Rescue, monotonic: Monotonic
) -> None:
    """Its worker died between its start and taking it from there."""
    [job] = begin(queue, "one")
    client.lpush(queue.intermediate_queue.key, job.id)
    assert rescue.take_up_taken() == 0
    monotonic.now += DEAD_S + 1
    assert rescue.take_up_taken() == 0
    assert waiting(queue) == []
    assert client.llen(queue.intermediate_queue.key) == 0


def test_look_counts_what_there_is_and_removes_what_ended_long_ago(
    queue: queues.JobsQueue, client: redis.Redis, rescue: Rescue, store: RedisSessionStore
) -> None:
    now_s = time.time()
    client.zadd(rescue._failed, {"long ago": now_s - 10, "of now": now_s + 1_000})
    client.zadd(queue.finished_job_registry.key, {"long ago": now_s - 10})
    queue.enqueue(JOB, job_id=f"{queue.name}-one")
    rescue.tidy()
    rescue.note_queue(store)
    figures: dict[str, Any] = store.upkeep.read()
    names = ("jobs_failed", "jobs_queued", "jobs_quarantined")
    assert [int(figures[name]) for name in names] == [1, 1, 0]
    assert client.zcard(queue.finished_job_registry.key) == 0
    assert not Job.exists("long ago", connection=client)
