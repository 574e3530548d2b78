"""The life of a Redis: another one whenever it may have lost something."""

from __future__ import annotations

from typing import Any

import redis

from tests.support.nodes.stores import make_store


def test_another_primary_is_another_life(own_server: Any, key_prefix: str, free_port: int) -> None:
    """A replica that takes over may not have had everything, and its process goes on."""
    with redis.Redis.from_url(own_server.url, decode_responses=True) as client:
        store = make_store(client, key_prefix)
        store.samples.open_feed(0)

        def life() -> str:
            return str(store.runner.run("life", 0, []))

        before = life()
        assert life() == before
        client.replicaof("127.0.0.1", str(free_port))
        client.replicaof("NO", "ONE")
        after = life()
        assert after != before
        assert after.split(":")[0] == before.split(":")[0]  # the same process


def test_feed_of_a_primary_that_was_a_replica_meanwhile_has_another_epoch(
    own_server: Any, key_prefix: str, free_port: int
) -> None:
    """It has what another primary wrote, with numbers that it had given to other entries."""
    with redis.Redis.from_url(own_server.url, decode_responses=True) as client:
        store = make_store(client, key_prefix)
        before = store.samples.open_feed(0)
        client.hdel(store.keys.epoch(0), "primary")  # as an earlier version leaves it
        assert [store.samples.open_feed(0) for _ in range(2)] == [before, before]
        client.replicaof("127.0.0.1", str(free_port))
        client.replicaof("NO", "ONE")
        after = store.samples.open_feed(0)
        assert after.epoch != before.epoch
        assert store.samples.open_feed(0) == after
