"""Batches of samples at their edges: what is noted of them, shown of them, and how much one call counts."""

from __future__ import annotations

import redis

from service.live.feed.entries import escape_project
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import index_of, make_store, part

A = "host-aaaa"


def test_session_says_when_it_was_updated_last(store: RedisSessionStore) -> None:
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    begin = store.now_ms()
    store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))])
    [found] = store.index.summaries(["d1"])
    assert found is not None
    assert begin <= int(found["last_update"]) <= store.now_ms()


def test_project_of_any_letters_does_not_cut_an_entry_elsewhere(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    for number, project in enumerate(("a|b", "50%", "%7C|")):
        store.ownership.create("d|1", "", project)
        store.samples.append(0, A, number, [part("d|1", None, ("k", 1))])
        fields = list(client.xrevrange(store.keys.feed(0), count=1)[0][1])
        assert fields[1] == f"2|{escape_project(project).decode()}|d|1"
        store.cleanup.delete("d|1")


def test_batch_is_recognised_for_an_hour(store: RedisSessionStore, client: redis.Redis) -> None:
    """A node repeats it for as long as Redis is away."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))])
    assert 3_590_000 < client.pttl(store.keys.batch(0, A)) <= 3_600_000


def test_session_that_an_update_makes_active_again_is_shown_so(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    store.ownership.create("d1")
    store.cleanup.deactivate(["d1"])
    assert index_of(store, "d1") == ["inactive"]
    store.samples.append(0, A, 1, [part("d1", None, ("k", 1))])
    assert index_of(store, "d1") == ["active"]
    fields = client.xrevrange(store.keys.feed(0), count=1)[0][1]
    assert fields["state"] == "active"


def test_one_call_counts_only_so_many_bytes(redis_client: redis.Redis, key_prefix: str) -> None:
    """Of sessions without a count, as an earlier version left them; the others have their turn later."""
    store = make_store(redis_client, key_prefix)
    names = ["d1", "d2", "d3"]
    for name in names:
        store.ownership.create(name)
        redis_client.set(store.keys.setup(name), "x" * 2_500_000)
        redis_client.hset(store.keys.session(name), "counted", "")

    def append(number: int) -> list[bool]:
        store.samples.append(0, A, number, [part(name, None, ("k", 1)) for name in names])
        return [bool(redis_client.hget(store.keys.session(name), "counted")) for name in names]

    assert append(1) == [True, True, False]
    assert append(2) == [True, True, True]
