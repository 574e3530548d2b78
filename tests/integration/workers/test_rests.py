"""What a late heartbeat leaves of a job, and what is none of it."""

from __future__ import annotations

import redis
from rq.job import Job

from workers.entries import drop_rest


def test_rest_of_a_job_goes_and_a_job_stays(redis_client: redis.Redis, key_prefix: str) -> None:
    rest, job = f"{key_prefix}-rest", f"{key_prefix}-job"
    redis_client.hset(Job.key_for(rest), mapping={"last_heartbeat": "1"})
    redis_client.hset(Job.key_for(job), mapping={"last_heartbeat": "1", "data": "x"})
    try:
        for one in (rest, job):
            drop_rest(redis_client, one)
        assert not redis_client.exists(Job.key_for(rest))
        assert redis_client.exists(Job.key_for(job))
    finally:
        redis_client.unlink(Job.key_for(job))
