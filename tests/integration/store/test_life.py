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
