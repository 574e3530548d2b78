"""Pages of a history that grows and loses its oldest samples meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator

import orjson
import pytest
import redis

from service.sessions.runs import runs_of
from service.sessions.store import histories
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store, part


def runs(text: str) -> list[bytes]:
    """Runs of samples with these letters, a word each."""
    words = [[b'["%c",1.5]' % letter for letter in word.encode()] for word in text.split()]
    return [run for word in words for run in runs_of(word)]


def letters(pages: Iterator[list[str]]) -> str:
    return "".join(orjson.loads(sample)[0] for page in pages for sample in page)


@pytest.mark.parametrize(
    ("kept", "last", "place", "page"),
    [
        ("a x a c", "a", 3, "c"),  # of "z a x a c": the same sample twice, the later one was read
        ("x a c", "a", 3, "c"),
        ("b c d", "a", 2, "b c d"),  # what was read is gone
        ("a b c d", "b", 1, "c d"),
        ("ab cd ef", "ab", 0, "cd ef"),
        ("ab cd ef", "ab", 5, "cd ef"),
        ("b cd ef", "ab", 0, "cd ef"),  # of what was read, a part is left
        ("bc de f", "abc", 3, "de f"),
        ("de f", "abc", 3, "de f"),
        ("c c", "bc", 0, "c"),
        ("ab", "ab", 0, ""),
    ],
)
def test_page_begins_behind_the_last_sample_that_was_read(
    store: RedisSessionStore, client: redis.Redis, kept: str, last: str, place: int, page: str
) -> None:
    client.rpush(store.keys.history("d1", "k"), *runs(kept))
    [run] = runs(last)
    asked = ["k", run, place, "", 10, 1_000]
    _, before, found = store.runner.of_session("history", "d1", asked)
    assert (before, [one.encode() for one in found]) == (0, runs(page))


def test_page_ends_with_its_bytes_and_with_its_samples(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    client.rpush(store.keys.history("d1", "k"), *runs(" ".join("x" * 200)))
    for most, size, found in ((120, 10_000, 120), (200, 300, 34), (3, 1, 1)):
        _, _, page = store.runner.of_session("history", "d1", ["k", "", 0, "", most, size])
        assert len(page) == found
    client.rpush(store.keys.history("d1", "m"), *runs("xxxxxxxx " * 9))
    _, _, page = store.runner.of_session("history", "d1", ["m", "", 0, "", 17, 10_000])
    assert len(page) == 3


@pytest.mark.parametrize(
    ("newest", "found"), [(0, ""), (1, "f"), (2, "ef"), (3, "def"), (5, "bcdef"), (6, "abcdef")]
)
@pytest.mark.parametrize("kept", ["abc def", "a b c d e f", "abcdef", "abcde f", "a bcdef"])
def test_newest_samples_are_exactly_as_many(
    store: RedisSessionStore, client: redis.Redis, kept: str, newest: int, found: str
) -> None:
    client.rpush(store.keys.history("d1", "k"), *runs(kept))
    assert letters(store.histories.read("d1", "k", newest)) == found
    assert letters(store.histories.read("d1", "k", newest + 60)) == "abcdef"[-newest - 60 :]


def test_newest_ones_are_found_behind_many_runs(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    client.rpush(store.keys.history("d1", "k"), *runs("ab " * 130 + "cd"))
    assert letters(store.histories.read("d1", "k", 203)) == "b" + "ab" * 100 + "cd"


@pytest.mark.parametrize("seed", range(20))
def test_each_sample_that_stays_comes_once_whatever_is_pushed_and_dropped_meanwhile(
    redis_client: redis.Redis, key_prefix: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(histories, "PAGE_SAMPLES", 7)
    dice = random.Random(seed)
    store = make_store(redis_client, key_prefix, history_default=60)
    own = store.ownership.register("d1", node_id="n", sid="s")
    count = flush = 0

    def push() -> None:
        nonlocal count, flush
        more = dice.choice([1, 2, 5, 20])
        samples = [("k", number) for number in range(count, count + more)]
        count, flush = count + more, flush + 1
        [result] = store.samples.append(0, "n", flush, [part("d1", own.generation, *samples)])
        assert result.word == "ok"

    while count < 80:
        push()
    for newest in (None, 40):
        stays, end, found = count - 60 if newest is None else count - 40, count, list[int]()
        for page in store.histories.read("d1", "k", newest):
            found += [orjson.loads(sample)[0] for sample in page]
            for _ in range(dice.choice([0, 0, 1, 2])):
                push()
        assert found == sorted(set(found))
        assert found[0] == stays
        assert newest is None or len(found) <= newest
        assert set(range(max(stays, count - 60), end)) <= set(found)
