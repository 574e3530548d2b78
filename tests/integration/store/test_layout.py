"""What the first start fixes in `P:meta`, and what later starts make of it."""

from __future__ import annotations

import pytest
import redis

from service.errors import ConfigError
from service.sessions.store.keys import Keys
from service.sessions.store.layout import spread_tags
from service.sessions.store.store import RedisSessionStore


def opened(client: redis.Redis, prefix: str, partitions: int) -> RedisSessionStore:
    store = RedisSessionStore(client, Keys(prefix, partitions))
    store.open()
    return store


def test_new_service_of_several_partitions_has_tags(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    store = opened(redis_client, key_prefix, 3)
    tags = spread_tags(3)
    meta = {"schema": "2", "partitions": "3 with tags", "tags": " ".join(tags)}
    assert redis_client.hgetall(store.keys.meta) == meta
    store.ownership.register("d1", node_id="n", sid="s")
    tag = tags[store.keys.partition("d1")]
    assert redis_client.exists(f"{key_prefix}:{{{tag}}}:session:d1")
    assert opened(redis_client, key_prefix, 3).index.get("d1")


def test_tags_are_those_that_were_noted(redis_client: redis.Redis, key_prefix: str) -> None:
    """Another version may find other words."""
    keys = Keys(key_prefix, 3)
    redis_client.hset(
        keys.meta, mapping={"schema": 1, "partitions": "3 with tags", "tags": "x y z"}
    )
    assert opened(redis_client, key_prefix, 3).keys.leases(2) == f"{key_prefix}:{{z}}:leases"


def test_new_service_of_one_partition_is_as_it_was(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    store = opened(redis_client, key_prefix, 1)
    assert redis_client.hgetall(store.keys.meta) == {"schema": "2", "partitions": "1"}
    assert store.keys.mq == f"{key_prefix}:mq"


def test_service_that_has_begun_keeps_its_names(redis_client: redis.Redis, key_prefix: str) -> None:
    redis_client.hset(Keys(key_prefix).meta, mapping={"schema": "1", "partitions": "3"})
    store = opened(redis_client, key_prefix, 3)
    assert redis_client.hgetall(store.keys.meta) == {"schema": "2", "partitions": "3"}
    assert store.keys.leases(2) == f"{key_prefix}:{{2}}:leases"
    assert store.keys.mq == f"{key_prefix}:mq"


@pytest.mark.parametrize("kind", ["leases", "epoch", "inactive", "archived"])
def test_service_whose_meta_was_lost_keeps_its_names(
    redis_client: redis.Redis, key_prefix: str, kind: str
) -> None:
    redis_client.zadd(f"{key_prefix}:{{1}}:{kind}", {"n1": 1})
    store = opened(redis_client, key_prefix, 3)
    assert redis_client.hget(store.keys.meta, "partitions") == "3"
    assert store.keys.leases(2) == f"{key_prefix}:{{2}}:leases"


@pytest.mark.parametrize("noted", ["3", "3 with tags"])
def test_running_process_notes_its_names_again(
    redis_client: redis.Redis, key_prefix: str, noted: str
) -> None:
    """In an emptied Redis, so that whoever starts then has the same ones."""
    meta = {"schema": "1", "partitions": noted, "tags": "x y z"}
    redis_client.hset(Keys(key_prefix).meta, mapping=meta)
    store = opened(redis_client, key_prefix, 3)
    names = store.keys.leases(2)
    redis_client.delete(store.keys.meta)
    store.open()
    assert redis_client.hget(store.keys.meta, "partitions") == noted
    assert opened(redis_client, key_prefix, 3).keys.leases(2) == names


def test_running_process_with_other_names_is_told(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    redis_client.hset(Keys(key_prefix).meta, mapping={"schema": "1", "partitions": "3"})
    store = opened(redis_client, key_prefix, 3)
    redis_client.hset(store.keys.meta, mapping={"partitions": "3 with tags", "tags": "x y z"})
    with pytest.raises(ConfigError, match=r"redis\.partitions: .*start this process again"):
        store.open()
    assert store.keys.leases(2) == f"{key_prefix}:{{2}}:leases"


@pytest.mark.parametrize(("tags", "partitions"), [("x y z", 2), ("x y", 3), ("x y y", 3)])
def test_other_number_of_partitions_is_refused(
    redis_client: redis.Redis, key_prefix: str, tags: str, partitions: int
) -> None:
    meta = {"schema": "1", "partitions": "3 with tags", "tags": tags}
    redis_client.hset(Keys(key_prefix).meta, mapping=meta)
    with pytest.raises(ConfigError, match=r"fixed at 3|a tag for each of 3"):
        opened(redis_client, key_prefix, partitions)


def test_service_of_the_former_schema_moves_on(redis_client: redis.Redis, key_prefix: str) -> None:
    """Also while processes of this version run: Redis was restored under them."""
    store = opened(redis_client, key_prefix, 1)
    store.fleet.node_beat("n1", {"version": "1"})
    store.fleet.worker_beat("w1", {})
    redis_client.hset(store.keys.meta, "schema", "1")
    opened(redis_client, key_prefix, 1)
    assert redis_client.hget(store.keys.meta, "schema") == "2"


@pytest.mark.parametrize("kind", ["node", "worker"])
def test_former_schema_is_not_left_while_an_earlier_version_runs(
    redis_client: redis.Redis, key_prefix: str, kind: str
) -> None:
    """It could not read what this one stores."""
    keys = Keys(key_prefix, 1)
    index, key, name = {
        "node": (keys.nodes, keys.node("old-1"), "node_id"),
        "worker": (keys.workers, keys.worker("old-1"), "worker"),
    }[kind]
    redis_client.hset(keys.meta, mapping={"schema": "1", "partitions": "1"})
    redis_client.zadd(index, {"old-1": 1, "long-gone": 1})
    redis_client.hset(key, mapping={name: "old-1", "version": "0.9"})
    with pytest.raises(ConfigError, match=r"an earlier version still runs \(old-1\)"):
        opened(redis_client, key_prefix, 1)
    assert redis_client.hget(keys.meta, "schema") == "1"
    redis_client.delete(key)
    opened(redis_client, key_prefix, 1)
    assert redis_client.hget(keys.meta, "schema") == "2"


@pytest.mark.parametrize("schema", ["0", "3"])
def test_other_schemas_are_refused(redis_client: redis.Redis, key_prefix: str, schema: str) -> None:
    redis_client.hset(Keys(key_prefix).meta, mapping={"schema": schema, "partitions": "1"})
    with pytest.raises(ConfigError, match=f"has schema {schema}, this version of Muster needs 2"):
        opened(redis_client, key_prefix, 1)
