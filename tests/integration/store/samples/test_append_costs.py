"""What a flush leaves out to be cheap, and what must hold all the same."""

from __future__ import annotations

import pytest
import redis

from service.sessions.model import Registration
from service.sessions.runs import samples_of
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store, part

A = "host-aaaa"


@pytest.fixture
def wide(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    """Histories of 100 samples."""
    return make_store(client, key_prefix, history_default=100)


def test_history_has_its_size_after_every_flush(
    wide: RedisSessionStore, client: redis.Redis
) -> None:
    own = wide.ownership.register("d1", node_id=A, sid="aaaa.1")
    lengths = []
    for number in range(1, 41):
        samples = [("k", 5 * number + place) for place in range(5)]
        wide.samples.append(0, A, number, [part("d1", own.generation, *samples)])
        lengths.append(len(samples_of(client.lrange(wide.keys.history("d1", "k"), 0, -1))))
    assert lengths == [min(100, 5 * number) for number in range(1, 41)]
    details = wide.index.details("d1")
    assert details is not None
    assert [value for value, _ in details["data"]["k"]] == list(range(105, 205))


def test_bytes_that_are_dropped_are_no_longer_counted(
    wide: RedisSessionStore, client: redis.Redis
) -> None:
    own = wide.ownership.register("d1", node_id=A, sid="aaaa.1")
    for number in range(1, 121):
        wide.samples.append(0, A, number, [part("d1", own.generation, ("k", number))])
        held = samples_of(client.lrange(wide.keys.history("d1", "k"), 0, -1))
        bytes_held = sum(map(len, held)) + len("k") + len(held[-1])
        counted = int(client.hget(wide.keys.session("d1"), "counted") or 0) // 1_000_000
        assert counted == bytes_held


def test_update_without_a_number_leaves_the_numbers_as_they_are(
    store: RedisSessionStore, own: Registration
) -> None:
    """Fields that an update does not change are not written: they are not lost, nor those of another stream."""

    def send(number: int, seq: int | None, stream: str = "s") -> str:
        numbered = None if seq is None else (seq, seq)
        one = part("d1", own.generation, ("k", number), seq=numbered, stream=stream)
        return store.samples.append(0, A, number, [one])[0].word

    assert [send(1, None), send(2, 1), send(3, None), send(4, 2)] == ["ok"] * 4
    assert send(5, 2) == "conflict"
    assert send(6, 1, "another") == "ok"
    assert send(7, None) == "ok"
    assert [send(8, 3), send(9, 2, "another")] == ["ok", "ok"]


def test_what_updates_read_and_write_is_first_in_a_new_session(
    store: RedisSessionStore, client: redis.Redis, own: Registration
) -> None:
    """Redis searches the hash of a session from its beginning."""
    store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1), seq=(1, 1), stream="s")])
    names = list(client.hgetall(store.keys.session("d1")))
    assert set(names[:8]) == {
        *("generation", "rev", "updates", "bytes_in"),
        *("counted", "project_id", "stream", "last_seq"),
    }
