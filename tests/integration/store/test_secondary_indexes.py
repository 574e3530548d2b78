"""Sets beside a session that say where to look for it: pending ones, projects, idle ones, deadlines."""

from __future__ import annotations

import pytest
import redis

from service.sessions.model import NewCommand
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding, index_of, make_store, part

A, B = "host-aaaa", "host-bbbb"
P0 = 0


@pytest.fixture
def client(redis_client: redis.Redis) -> redis.Redis:
    return redis_client


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, flapping_registers=0)


def add(store: RedisSessionStore, command_id: str = "c1") -> None:
    store.commands.add("d1", NewCommand(command_id, "go", "{}", 60_000))


def empty(client: redis.Redis, store: RedisSessionStore) -> None:
    for key in list(client.scan_iter(f"{store.keys.prefix}:*")):
        client.delete(key)


def project(store: RedisSessionStore, name: str) -> list[str]:
    return list(store.runner.client.zrange(store.keys.project(P0, name), 0, -1))


def where_named(client: redis.Redis, store: RedisSessionStore, session_id: str) -> set[str]:
    """The sets and zsets in which an id stands, without prefix."""
    found = set()
    for key in client.scan_iter(f"{store.keys.prefix}:*"):
        kind = client.type(key)
        members = {"set": client.smembers, "zset": lambda one: client.zrange(one, 0, -1)}.get(kind)
        if members and any(m == session_id or m.endswith(f":{session_id}") for m in members(key)):
            found.add(key.removeprefix(store.keys.tag(P0)))
    return found


# -- pending: sessions of a node that have commands to send


def test_command_of_a_connected_session_makes_it_pending(store: RedisSessionStore) -> None:
    """So that the next renewal finds it, whatever became of the message to the node."""
    store.ownership.register("d1", node_id=A, sid="aaaa.1")
    add(store)
    assert store.ownership.renew(A)[0].pending == ["d1"]


def test_register_makes_a_session_pending_that_has_commands(store: RedisSessionStore) -> None:
    """The register's own answer may be lost."""
    store.ownership.create("d1")
    add(store)
    store.ownership.register("d1", node_id=A, sid="aaaa.1")
    assert store.ownership.renew(A)[0].pending == ["d1"]


def test_reclaim_makes_a_session_pending_that_got_a_command_meanwhile(
    store: RedisSessionStore,
) -> None:
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.ownership.disconnect(P0, A, [("d1", "aaaa.1", own.generation)], "lost")
    add(store)
    assert store.ownership.reclaim(P0, A, [holding(own, "aaaa.1")]) == [("ok", None)]
    assert store.ownership.renew(A)[0].pending == ["d1"]


def test_takeover_moves_a_pending_session(store: RedisSessionStore) -> None:
    store.ownership.register("d1", node_id=A, sid="aaaa.1")
    add(store)
    store.ownership.register("d1", node_id=B, sid="bbbb.1")
    assert store.ownership.renew(A)[0].pending == []
    assert store.ownership.renew(B)[0].pending == ["d1"]
    assert (store.ownership.owned(P0, A), store.ownership.owned(P0, B)) == (set(), {"d1"})


def test_session_that_left_its_node_is_pending_there_no_more(store: RedisSessionStore) -> None:
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    add(store)
    store.ownership.disconnect(P0, A, [("d1", "aaaa.1", own.generation)], "lost")
    assert store.ownership.renew(A)[0].pending == []


def test_session_whose_commands_are_all_sent_is_pending_no_more(store: RedisSessionStore) -> None:
    """Else each renewal asks for all sessions that ever had a command."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    add(store)
    (taken,) = store.commands.take("d1", own.generation)
    assert store.commands.take("d1", own.generation, after=taken.position) == []
    assert store.ownership.renew(A)[0].pending == []


# -- projects


def test_register_moves_a_session_from_project_to_project_and_tells_both(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """Lists of a project, and tokens of it, show what belongs to it now; the former one is told."""
    store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="one")
    store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="two")
    assert (project(store, "one"), project(store, "two")) == ([], ["d1"])
    _, fields = client.xrevrange(store.keys.feed(P0), count=1)[0]
    assert fields["previous_project_id"] == "one"
    store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="")
    assert project(store, "two") == []


def test_reclaim_moves_a_session_into_the_project_that_its_node_knows(
    store: RedisSessionStore,
) -> None:
    """Redis came back with an older state of it."""
    store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="old")
    newer = store.ownership.register("d1", node_id=A, sid="aaaa.2", project_id="new")
    store.ownership.disconnect(P0, A, [("d1", "aaaa.2", newer.generation)], "lost")
    older = {"generation": str(newer.generation - 1), "project_id": "old"}
    store.runner.client.hset(store.keys.session("d1"), mapping=older)
    store.runner.client.zadd(store.keys.project(P0, "old"), {"d1": 1})
    store.runner.client.delete(store.keys.project(P0, "new"))
    assert store.ownership.reclaim(P0, A, [holding(newer, "aaaa.2")]) == [("ok", None)]
    assert (project(store, "old"), project(store, "new")) == ([], ["d1"])


def test_reclaim_in_an_emptied_redis_makes_projects_whole_and_nobody_idle(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="p1")
    empty(client, store)
    assert store.ownership.reclaim(P0, A, [holding(own, "aaaa.1")]) == [("ok", None)]
    assert project(store, "p1") == ["d1"]
    store.samples.append(P0, A, 1, [part("d1", None, ("k", 1))])  # somebody else's update
    assert client.zscore(store.keys.idle(P0), "d1") is None  # it has a connection


def test_reclaim_over_an_older_owner_leaves_the_session_with_one_node(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """Redis lost the newer register and holds the older one."""
    store.ownership.register("d1", node_id=B, sid="bbbb.1")
    add(store)
    newer = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    lost = {"node_id": B, "sid": "bbbb.1", "generation": str(newer.generation - 1)}
    client.hset(store.keys.session("d1"), mapping=lost)
    client.smove(store.keys.owned(P0, A), store.keys.owned(P0, B), "d1")
    client.smove(store.keys.pending(P0, A), store.keys.pending(P0, B), "d1")
    ((word, other),) = store.ownership.reclaim(P0, A, [holding(newer, "aaaa.1")])
    assert (word, other.sid if other else None) == ("ok", "bbbb.1")
    assert store.ownership.owned(P0, B) == set()
    assert store.ownership.renew(B)[0].pending == []


# -- what goes, and what is left in no set


def test_deleted_session_stands_in_no_set(store: RedisSessionStore, client: redis.Redis) -> None:
    """With a connection, people of two nodes, a project and open commands; or never connected at all."""
    store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="p1")
    for node_id in (A, B):
        store.ownership.join("d1", node_id, f"{node_id}.7")
    for command_id in ("c1", "c2"):
        add(store, command_id)
    assert len(where_named(client, store, "d1")) >= 7
    store.cleanup.delete("d1")
    assert where_named(client, store, "d1") == set()
    store.ownership.create("d2", project_id="p1")
    store.cleanup.delete("d2")
    assert where_named(client, store, "d2") == set()


@pytest.mark.parametrize("count", [1, 2_500])
def test_delete_leaves_no_history_however_many_there_are(
    client: redis.Redis, key_prefix: str, count: int
) -> None:
    """Nothing comes back under an id that is made again."""
    store = make_store(client, key_prefix, max_keys=5_000)
    store.ownership.create("d1")
    for number, begin in enumerate(range(0, count, 500), 1):
        samples = [(f"k{n}", n) for n in range(begin, min(begin + 500, count))]
        store.samples.append(P0, A, number, [part("d1", None, *samples)])
    store.cleanup.delete("d1")
    assert list(client.scan_iter(f"{key_prefix}:*history*", count=5_000)) == []


# -- idle: sessions that never had a connection


def test_session_without_a_connection_is_idle_from_its_beginning(
    client: redis.Redis, key_prefix: str
) -> None:
    """Also one that nobody ever updates becomes inactive."""
    store = make_store(client, key_prefix, idle_after_ms=0)
    store.ownership.create("d1")
    assert store.cleanup.sweep_idle(P0) == 1
    assert index_of(store, "d1") == ["inactive"]


def test_update_keeps_a_session_without_a_connection_active(
    client: redis.Redis, key_prefix: str
) -> None:
    store = make_store(client, key_prefix, idle_after_ms=60_000)
    store.ownership.create("d1")
    idle = store.keys.idle(P0)
    client.zadd(idle, {"d1": store.now_ms() - 120_000})
    store.samples.append(P0, A, 1, [part("d1", None, ("k", 1))])
    assert store.cleanup.sweep_idle(P0) == 0
    assert index_of(store, "d1") == ["active"]


def test_update_makes_an_inactive_session_without_a_connection_active_again(
    client: redis.Redis, key_prefix: str
) -> None:
    store = make_store(client, key_prefix, idle_after_ms=0)
    store.ownership.create("d1")
    store.cleanup.sweep_idle(P0)
    store.samples.append(P0, A, 1, [part("d1", None, ("k", 1))])
    assert index_of(store, "d1") == ["active"]
    assert (store.index.get("d1") or {})["state"] == "active"


def test_session_whose_keys_ran_out_leaves_every_list_and_comes_back_as_nothing(
    client: redis.Redis, key_prefix: str
) -> None:
    store = make_store(client, key_prefix, idle_after_ms=0, ttl_ms=60_000)
    store.ownership.create("idle")
    own = store.ownership.register("was", node_id=A, sid="aaaa.1")
    store.ownership.disconnect(P0, A, [("was", "aaaa.1", own.generation)], "gone")
    client.delete(store.keys.session("idle"), store.keys.session("was"))
    client.zadd(store.keys.inactive(P0), {"was": store.now_ms() - 120_000})
    assert store.cleanup.sweep_idle(P0) == 2
    assert index_of(store, "idle") == index_of(store, "was") == []
    assert client.exists(store.keys.session("idle")) == 0
    assert client.xrevrange(store.keys.feed(P0), count=1)[0][1]["removed"] == "was"


def test_without_ttls_nothing_runs_out(client: redis.Redis, key_prefix: str) -> None:
    """`ttl_s: 0`: an inactive session of any age stays in the list, and a refresh deletes nothing."""
    store = make_store(client, key_prefix, ttl_ms=0, flapping_registers=0)
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.samples.append(P0, A, 1, [part("d1", own.generation, ("k", 1))])
    store.ownership.touch(P0, [("d1", own.generation, 0)], refresh=True)
    assert client.ttl(store.keys.session("d1")) == client.ttl(store.keys.history("d1", "k")) == -1
    store.ownership.disconnect(P0, A, [("d1", "aaaa.1", own.generation)], "gone")
    client.zadd(store.keys.inactive(P0), {"d1": 1, "ghost": 1})
    assert store.cleanup.sweep_idle(P0) == 0
    assert index_of(store, "d1") == ["inactive"]


# -- places in lists


def test_session_keeps_its_place_among_active_ones_however_often_it_registers(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """Who reads pages meanwhile would meet it again and again, or never."""
    store.ownership.register("d1", node_id=A, sid="aaaa.1")
    client.zadd(store.keys.active(P0), {"d1": 5})
    store.ownership.register("d1", node_id=B, sid="bbbb.1")
    assert client.zscore(store.keys.active(P0), "d1") == 5


def test_session_keeps_its_place_among_inactive_ones(
    store: RedisSessionStore, client: redis.Redis
) -> None:
    """It is archived by how long it has been inactive."""
    store.ownership.create("d1")
    client.zadd(store.keys.inactive(P0), {"d1": 5})
    store.cleanup.deactivate(["d1"])
    assert client.zscore(store.keys.inactive(P0), "d1") == 5


def test_connected_session_is_not_made_inactive_by_who_cleans_up(store: RedisSessionStore) -> None:
    store.ownership.register("d1", node_id=A, sid="aaaa.1")
    assert store.cleanup.deactivate(["d1"]) == 0
    assert index_of(store, "d1") == ["active"]
