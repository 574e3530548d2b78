"""The proof of `make bench` that a server has stored what devices sent."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest

from benchmarks.servers import stored
from benchmarks.servers.stored import Sent

#: Two devices with two keys, which keep three samples of each.
SENT = Sent([9, 3], keys=2, per_event=1)


@pytest.fixture
def client() -> Any:
    with fakeredis.FakeStrictRedis(decode_responses=True) as client:
        for device, key, count in ((0, 0, 3), (0, 1, 3), (1, 0, 2), (1, 1, 1)):
            client.rpush(f"device-0000{device}.metric_{key}", *range(count))
        for device, count in ((0, 3), (1, 1)):
            for number in range(1, count + 1):
                client.xadd(f"stream.device-0000{device}", {"d": "x"}, id=f"0-{number}")
        for device, count in enumerate(SENT.samples):
            client.hset(f"session.device-0000{device}", "updates", count)
        yield client


def look(client: Any) -> list[str]:
    in_threes = Sent(SENT.samples, keys=2, per_event=3)
    return [
        *stored.lists("{}.{}".format, 3, client, SENT),
        *stored.streams("stream.{}".format, 3, client, in_threes),
        *stored.counted("session.{}".format, client, SENT),
    ]


def test_samples_are_shared_among_keys_that_take_turns() -> None:
    assert stored.shares(10, 4) == [3, 3, 2, 2]
    assert stored.shares(1, 4) == [1, 0, 0, 0]


def test_newest_samples_of_each_key_and_all_updates_are_enough(client: Any) -> None:
    assert look(client) == []


@pytest.mark.parametrize("key", ["device-00000.metric_1", "device-00001.metric_0"])
@pytest.mark.parametrize("change", ["rpush", "lpop"])
def test_history_with_a_sample_too_few_or_too_many_is_a_problem(
    client: Any, key: str, change: str
) -> None:
    getattr(client, change)(key, *(["x"] if change == "rpush" else []))
    (problem,) = look(client)
    assert "samples instead of 9" in problem


def test_stream_without_an_event_is_a_problem(client: Any) -> None:
    client.xtrim("stream.device-00001", maxlen=0)
    assert look(client) == ["histories in Redis: 3 events instead of 4"]


def test_session_that_counts_less_than_its_device_sent_is_a_problem(client: Any) -> None:
    client.hincrby("session.device-00001", "updates", -1)
    assert look(client) == ["updates in Redis: 11 of 12"]
