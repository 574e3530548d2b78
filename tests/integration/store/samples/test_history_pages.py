"""Pages of a history that grows and loses its oldest samples meanwhile."""

from __future__ import annotations

import pytest
import redis

from service.sessions.store.store import RedisSessionStore


@pytest.mark.parametrize(
    ("kept", "last", "place", "page"),
    [
        ("axac", "a", 3, "c"),  # of "zaxac": the same sample twice, the later one was read
        ("xac", "a", 3, "c"),
        ("bcd", "a", 2, "bcd"),  # what was read is gone
        ("abcd", "b", 1, "cd"),
    ],
)
def test_page_begins_behind_the_last_sample_that_was_read(
    store: RedisSessionStore, client: redis.Redis, kept: str, last: str, place: int, page: str
) -> None:
    client.rpush(store.keys.history("d1", "k"), *kept)
    _, samples = store.runner.of_session("history", "d1", ["k", last, place, 10, 1_000])
    assert "".join(samples) == page


def test_page_ends_with_its_bytes_and_with_its_samples(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    client.rpush(store.keys.history("d1", "k"), *(["x" * 10] * 200))
    for most, size, found in ((120, 10_000, 120), (200, 300, 50), (3, 1, 3)):
        _, samples = store.runner.of_session("history", "d1", ["k", "", 0, most, size])
        assert len(samples) == found
