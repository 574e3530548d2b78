"""Sessions without a connection, which have no node that renews their TTLs: what is written does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from service.sessions.model import NewCommand
from service.sessions.store.devices import Said
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import keys_of, make_store, part

TTL_MS = 3_600_000

Write = Callable[[RedisSessionStore], object]


def update(store: RedisSessionStore) -> object:
    return store.samples.append(0, "writer", 2, [part("d1", None, ("k", 2))])


def report(store: RedisSessionStore) -> object:
    return store.devices.report("d1", Said(), create=False)


def undo(store: RedisSessionStore) -> object:
    return store.setups.undo("d1")


def command(store: RedisSessionStore) -> object:
    return store.commands.add("d1", NewCommand("c1", "go", "{}", 60_000))


def refresh(store: RedisSessionStore) -> object:
    """What a node does for those that are connected."""
    return store.ownership.touch(0, [("d1", None, 0)], refresh=True)


@pytest.mark.parametrize("write", [update, report, undo, command, refresh])
def test_what_is_written_to_gets_all_its_ttls_anew(
    redis_client: redis.Redis, key_prefix: str, write: Write
) -> None:
    store = make_store(redis_client, key_prefix, ttl_ms=TTL_MS)
    store.ownership.create("d1")
    store.samples.append(0, "writer", 1, [part("d1", None, ("k", 1))])
    store.setups.put("d1", b"{}")
    store.setups.put("d1", b'{"a":1}')
    store.commands.add("d1", NewCommand("c0", "go", "{}", 60_000))
    store.commands.cancel("d1", "c0")
    store.ownership.join("d1", "host-aaaa", "aaaa.2")  # renews nothing but what it makes
    before = keys_of(redis_client, key_prefix, "d1")
    for key in before:
        assert redis_client.pttl(key) > 0, key  # from its first write on
        redis_client.pexpire(key, TTL_MS // 2)
    write(store)
    left = {key: redis_client.pttl(key) for key in before if redis_client.exists(key)}
    assert store.keys.session("d1") in left
    assert min(left.values()) > TTL_MS * 0.9, left
