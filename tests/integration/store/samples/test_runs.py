"""Histories of runs: whatever was joined, what is kept is what was kept sample by sample."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
import redis

from service.sessions.runs import runs_of, samples_of, with_count
from service.sessions.store.archive_index import bytes_of
from service.sessions.store.index import bytes_held
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store, part

KEEP = {"few": 1, "some": 8, "k": 100}


class Device:
    """A session, and which values of each key it must have."""

    def __init__(self, store: RedisSessionStore) -> None:
        self.store, self.number = store, 0
        own = store.ownership.register("d1", node_id="n", sid="s")
        self.generation = own.generation
        self.sent: dict[str, list[Any]] = {}

    def send(self, *samples: tuple[str, Any]) -> str:
        self.number += 1
        one = part("d1", self.generation, *samples)
        [result] = self.store.samples.append(0, "n", self.number, [one])
        if result.word == "ok":
            for key, value in samples:
                self.sent.setdefault(key, []).append(value)
        return result.word

    def check(self) -> dict[str, int]:
        """Compare all that there is; how many samples of each key are kept."""
        store, client, counts = self.store, self.store.runner.client, {}
        snapshot = store.index.read("d1", entire=True)
        assert snapshot is not None
        assert set(snapshot.histories) == set(self.sent)
        for key, kept in snapshot.histories.items():
            values = [orjson.loads(sample)[0] for sample in kept]
            assert values == self.sent[key][-len(values) :]
            count, latest = client.hget(store.keys.latest("d1"), key).split("\n")
            assert (latest, int(count)) == (kept[-1], len(kept))
            assert client.pttl(store.keys.history("d1", key)) > 0
            counts[key] = len(kept)
        assert bytes_held(store.index.get("d1") or {}) == bytes_of(snapshot)
        return counts


@pytest.mark.parametrize("seed", range(6))
def test_newest_samples_of_each_key_are_kept_and_counted(
    client: redis.Redis, key_prefix: str, seed: int
) -> None:
    dice = random.Random(seed)
    store = make_store(client, key_prefix, history_keys=KEEP, ttl_ms=60_000)
    device = Device(store)
    for _ in range(15):
        keys = dice.sample(sorted(KEEP), dice.randint(1, 3))
        count = dice.choice([1, 1, 2, 7, 63, 64, 65, 150])
        size = dice.choice([0, 0, 90, 900])
        samples = [(dice.choice(keys), f"{device.number}-{n}" + "é" * size) for n in range(count)]
        assert device.send(*samples) == "ok"
        kept = {key: min(KEEP[key], len(sent)) for key, sent in device.sent.items()}
        assert device.check() == kept


@pytest.mark.parametrize("seed", range(6))
def test_full_session_drops_no_more_than_it_must(
    client: redis.Redis, key_prefix: str, seed: int
) -> None:
    dice = random.Random(seed)
    most, keep = 8_000, {"a": 40, "b": 1000}
    store = make_store(client, key_prefix, history_keys=keep, max_bytes=most, ttl_ms=60_000)
    device = Device(store)
    for _ in range(25):
        key, size = dice.choice("ab"), dice.choice([1, 10, 100, 600])
        samples = [(key, f"{n}" + "x" * size) for n in range(dice.choice([1, 3, 20, 70]))]
        before = device.check() if device.sent else {}
        if device.send(*samples) == "ok":
            kept = device.check()
            held = bytes_held(store.index.get("d1") or {}) or 0
            assert held <= most
            all_of_it = min(before.get(key, 0) + len(samples), keep[key])
            if kept[key] < all_of_it:  # one sample more would have been too much
                dropped = orjson.dumps([device.sent[key][-kept[key] - 1], 1.5])
                assert held + len(dropped) > most


def test_of_more_than_a_session_may_hold_the_newest_is_kept(
    client: redis.Redis, key_prefix: str
) -> None:
    most = 8_000
    store = make_store(client, key_prefix, history_default=100, max_bytes=most, ttl_ms=60_000)
    device = Device(store)
    device.send(("k", "old"))
    assert device.send(*(("k", "x" * 600) for _ in range(70))) == "ok"
    assert device.check() == {"k": 12}


def test_what_came_together_is_one_entry(client: redis.Redis, key_prefix: str) -> None:
    store = make_store(client, key_prefix, history_default=100)
    device = Device(store)
    device.send(*(("k", number) for number in range(10)))
    device.send(("k", 10))
    entries = client.lrange(store.keys.history("d1", "k"), 0, -1)
    assert [len(samples_of([entry])) for entry in entries] == [10, 1]


def test_more_samples_at_once_than_are_kept_leave_the_newest_with_a_ttl(
    client: redis.Redis, key_prefix: str
) -> None:
    """The only run is cut: for a moment the list is not there."""
    device = Device(make_store(client, key_prefix, history_default=5, ttl_ms=60_000))
    device.send(*(("k", number) for number in range(50)))
    assert device.check() == {"k": 5}


def test_history_of_a_version_without_runs_is_counted(client: redis.Redis, key_prefix: str) -> None:
    """It wrote a list of samples, and no number behind the latest value."""
    store = make_store(client, key_prefix, history_default=250, ttl_ms=60_000)
    device = Device(store)
    device.send(*(("k", number) for number in range(240)))
    history, samples = store.keys.history("d1", "k"), [f"[{number},1.5]" for number in range(240)]
    client.delete(history)
    client.rpush(history, *samples)
    client.pexpire(history, 60_000)
    client.hset(store.keys.latest("d1"), "k", samples[-1])
    device.send(*(("k", 240 + number) for number in range(20)))
    assert device.check() == {"k": 250}
    assert store.index.latest_values(["d1"], ["k"]) == [{"k": "[259,1.5]"}]


@pytest.mark.parametrize("strange", ["5", '"text"', '{"a":1}', "null"])
def test_what_is_no_sample_harms_no_other_session(
    client: redis.Redis, key_prefix: str, strange: str
) -> None:
    """A file of the archive may come from anywhere, and a flush has many sessions."""
    store = make_store(client, key_prefix, history_default=3, ttl_ms=60_000, max_bytes=4_000)
    device = Device(store)
    history, latest = store.keys.history("d1", "k"), store.keys.latest("d1")
    client.rpush(history, strange, "[1,1.5]")
    client.pexpire(history, 60_000)
    client.hset(latest, "k", "[1,1.5]")
    client.hdel(store.keys.session("d1"), "counted")
    for number in range(4):
        assert device.send(("k", number), ("k", "x" * 900)) == "ok"
    assert device.check()["k"] == 3
    assert store.index.read("d1") is not None


def test_what_a_node_without_runs_wrote_behind_them_is_counted(
    client: redis.Redis, key_prefix: str
) -> None:
    """It stood still while the schema moved on."""
    store = make_store(client, key_prefix, history_default=20, ttl_ms=60_000)
    device = Device(store)
    device.send(*(("k", number) for number in range(15)))
    client.rpush(store.keys.history("d1", "k"), "[15,1.5]")
    client.hset(store.keys.latest("d1"), "k", "[15,1.5]")
    client.hincrby(store.keys.session("d1"), "rev", 1)
    device.sent["k"].append(15)
    device.send(*(("k", 16 + number) for number in range(10)))
    assert device.check() == {"k": 20}


def test_history_that_was_taken_away_by_hand_begins_again(
    client: redis.Redis, key_prefix: str
) -> None:
    device = Device(make_store(client, key_prefix, history_default=5, ttl_ms=60_000))
    device.send(*(("k", number) for number in range(5)))
    client.delete(device.store.keys.history("d1", "k"))
    client.hdel(device.store.keys.session("d1"), "counted")
    for number in (5, 6):
        device.send(("k", number))
    assert device.check() == {"k": 2}


def test_much_is_dropped_at_once_and_all_that_is_to_stay_stays(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    """`sessions.history` was lowered: long runs first, and behind them thousands of single samples."""
    store = make_store(redis_client, key_prefix, history_default=20_000, ttl_ms=60_000)
    device = Device(store)
    device.send(("k", 0))
    samples = [b"[%d,1.5]" % number for number in range(40_000)]
    runs = [*runs_of(samples[:20_000]), *samples[20_000:]]
    history = store.keys.history("d1", "k")
    redis_client.delete(history)
    for at in range(0, len(runs), 5_000):
        redis_client.rpush(history, *runs[at : at + 5_000])
    redis_client.pexpire(history, 60_000)
    redis_client.hset(store.keys.latest("d1"), "k", with_count("[39999,1.5]", 40_000))
    redis_client.hdel(store.keys.session("d1"), "counted")
    device.sent["k"] = list(range(40_000))
    assert device.send(("k", 40_000)) == "ok"
    assert device.check() == {"k": 20_000}


@pytest.mark.parametrize("left", ["[1,1.5]", "2\n[1,1.5]\n[2,1.5]"])
@pytest.mark.parametrize("said", [9, 5000])
def test_history_that_is_shorter_than_was_said_harms_no_other_session(
    client: redis.Redis, key_prefix: str, left: str, said: int
) -> None:
    store = make_store(client, key_prefix, history_default=3, ttl_ms=60_000)
    device = Device(store)
    other = store.ownership.register("d2", node_id="n", sid="t")
    device.send(("k", 1))
    client.delete(store.keys.history("d1", "k"))
    client.rpush(store.keys.history("d1", "k"), left)
    client.hset(store.keys.latest("d1"), "k", f"{said}\n[1,1.5]")
    generations = {"d1": device.generation, "d2": other.generation}
    parts = [part(name, generations[name], ("k", 2), ("k", 3)) for name in generations]
    results = store.samples.append(0, "n", 99, parts)
    assert [result.word for result in results] == ["ok", "ok"]
    snapshot = store.index.read("d2")
    assert snapshot is not None
    assert len(snapshot.histories["k"]) == 2


def test_fewer_samples_are_kept_from_the_next_update_on(
    client: redis.Redis, key_prefix: str
) -> None:
    device = Device(make_store(client, key_prefix, history_default=100, ttl_ms=60_000))
    device.send(*(("k", number) for number in range(100)))
    device.store = make_store(client, key_prefix, history_default=3, ttl_ms=60_000)
    device.send(("k", 100))
    assert device.check() == {"k": 3}
