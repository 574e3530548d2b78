"""What of Redis's answers makes an entry a job of ours, without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import redis
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

from workers.entries import Ended, KnownJob, NoJobOfOurs, read_job

RECORD = {
    b"created_at": b"2026-11-30T00:00:00.000000Z",
    b"data": json.dumps(["workers.jobs.restore_session", None, ["s"], {}]).encode(),
    b"origin": b"ours",
    b"status": b"queued",
}


class Server:
    """Answers with one record, or with an error."""

    def __init__(self, answer: Mapping[bytes, bytes] | RedisError) -> None:
        self._answer = answer

    def hgetall(self, name: str) -> Mapping[bytes, bytes]:
        if isinstance(self._answer, RedisError):
            raise self._answer
        return self._answer


def read(answer: Mapping[bytes, bytes] | RedisError, entry: bytes = b"ours-one") -> KnownJob:
    client: Any = Server(answer)
    return read_job(client, entry, "ours")


def test_record_of_this_queue_is_a_job() -> None:
    assert read(RECORD).args == ["s"]


@pytest.mark.parametrize(
    "error",
    [redis.TimeoutError("no answer"), BusyLoadingError("loading"), ResponseError("BUSY a script")],
)
def test_outage_says_nothing_about_an_entry(error: RedisError) -> None:
    with pytest.raises(type(error)):
        read(error)


@pytest.mark.parametrize(
    "answer", [ResponseError("WRONGTYPE no hash"), RECORD | {b"origin": b"another"}]
)
def test_what_is_not_of_this_queue_is_no_job(answer: Mapping[bytes, bytes] | RedisError) -> None:
    with pytest.raises(NoJobOfOurs):
        read(answer)


def test_job_that_is_gone_has_ended_and_another_name_was_none() -> None:
    with pytest.raises(Ended):
        read({})
    with pytest.raises(NoJobOfOurs) as refused:
        read({}, b"another-one")
    assert not isinstance(refused.value, Ended)
