"""Nodes that die and nodes that leave, step by step: what is let go, what stays, and when nobody is judged."""

from __future__ import annotations

import pytest
import redis

from service.schema.limits import CALL_SESSIONS
from service.sessions.model import NewCommand
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import expire_all, index_of, make_store

A, B = "host-aaaa", "host-bbbb"
LEASE_MS = 10_000


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    store = make_store(redis_client, key_prefix, lease_ms=LEASE_MS, flapping_registers=0)
    store.ownership.expire(0)  # knows this server from now on
    return store


def judge(store: RedisSessionStore, dead: str, **epoch: int | str) -> None:
    """Make a node's lease end now, with B alive and the grace of the start over."""
    now = store.now_ms()
    store.ownership.renew(B)
    keys, client = store.keys, store.runner.client
    client.zadd(keys.leases(0), {dead: now - 1})
    client.hset(keys.epoch(0), mapping={"expired_at": now, "grace_until": now - 1, **epoch})


def register(store: RedisSessionStore, session_id: str, node_id: str = A) -> int:
    sid = f"{node_id[-4:]}.{session_id}"
    return store.ownership.register(session_id, node_id=node_id, sid=sid).generation


def test_restart_of_redis_gives_all_nodes_a_lease_of_time(store: RedisSessionStore) -> None:
    """However quick it was: they may just not have been able to renew."""
    register(store, "d1")
    judge(store, A, expire_run_id="another")
    assert store.ownership.expire(0).word == "grace"
    assert index_of(store, "d1") == ["active"]


@pytest.mark.parametrize("pause_ms", [2_500, -2_500])
def test_pause_of_all_who_expire_gives_all_nodes_a_lease_of_time(
    store: RedisSessionStore, pause_ms: int
) -> None:
    """Also one that a jump of the clock back looks like."""
    register(store, "d1")
    judge(store, A, expired_at=store.now_ms() - pause_ms)
    assert store.ownership.expire(0).word == "grace"
    assert index_of(store, "d1") == ["active"]


def test_short_pause_of_those_who_expire_is_none(store: RedisSessionStore) -> None:
    register(store, "d1")
    judge(store, A, expired_at=store.now_ms() - 1_500)
    assert store.ownership.expire(0).word == "ok"
    assert index_of(store, "d1") == ["inactive"]


def test_dead_node_leaves_in_one_round_although_a_call_is_full(store: RedisSessionStore) -> None:
    """A call that took as many as it may says so, and the next one takes the rest of that node."""
    ids = [f"d{n}" for n in range(CALL_SESSIONS + 1)]
    for session_id in ids:
        register(store, session_id)
    store.ownership.join(ids[0], A, "aaaa.person")
    judge(store, A)
    assert expire_all(store) == len(ids)
    assert store.index.counts()["active"] == 0
    assert store.ownership.clients(ids[0]) == []
    keys, client = store.keys, store.runner.client
    assert client.zscore(keys.leases(0), A) is None


def test_commands_past_their_deadline_end_in_one_round_although_a_call_is_full(
    store: RedisSessionStore,
) -> None:
    store.ownership.create("d1")
    client, due = store.runner.client, store.keys.commands_due(0)
    client.zadd(due, {f"c{n}:gone": 1 for n in range(CALL_SESSIONS)})
    store.commands.add("d1", NewCommand("last", "go", "{}", 60_000))
    client.zadd(due, {"last:d1": 2})
    first = store.ownership.expire(0)
    assert first.more
    second = store.ownership.expire(0)
    assert [change.command_id for change in first.commands + second.commands] == ["last"]
    assert not second.more


def test_dead_node_takes_neither_sessions_nor_clients_of_others_along(
    store: RedisSessionStore, redis_client: redis.Redis
) -> None:
    """Its sets may be wrong: what stands in them is looked at again."""
    register(store, "d1", B)
    redis_client.sadd(store.keys.owned(0, A), "d1")
    store.ownership.join("d1", A, "aaaa.7")
    store.ownership.join("d1", B, "bbbb.7")
    redis_client.sadd(store.keys.pending(0, A), "d1")
    judge(store, A)
    assert expire_all(store) == 0
    assert index_of(store, "d1") == ["active"]
    assert store.ownership.clients("d1") == [f"{B}#bbbb.7"]
    assert (store.index.get("d1") or {})["active_clients"] == "1"
    left = [key for key in redis_client.scan_iter(f"{store.keys.prefix}:*") if A in key]
    assert left == []


def test_client_that_stays_keeps_its_node_accountable_although_another_left(
    store: RedisSessionStore,
) -> None:
    """A node that dies later still takes its last client along."""
    register(store, "d1", B)
    for sid in ("aaaa.7", "aaaa.8"):
        store.ownership.join("d1", A, sid)
    assert store.ownership.leave("d1", A, "aaaa.7") == 1
    judge(store, A)
    expire_all(store)
    assert store.ownership.clients("d1") == []


def test_client_of_a_node_that_dies_right_after_its_start_is_let_go(
    store: RedisSessionStore,
) -> None:
    """Joining makes a lease where there is none yet."""
    register(store, "d1", B)
    store.ownership.join("d1", A, "aaaa.7")
    judge(store, B)  # also renews B, so that only what `join` noted can end
    lease = store.runner.client.zscore(store.keys.leases(0), A)
    assert lease is not None
    assert lease > store.now_ms()


@pytest.mark.parametrize("held", ["a session", "a client"])
def test_leaving_node_leaves_what_it_still_held_to_be_let_go_at_once(
    store: RedisSessionStore, held: str
) -> None:
    """Without a lease nobody would look for it: it would stay active for ever."""
    register(store, "d1", A if held == "a session" else B)
    if held == "a client":
        store.ownership.join("d1", A, "aaaa.7")
    judge(store, A)
    store.ownership.release(A)
    expire_all(store)
    assert index_of(store, "d1") == ["inactive" if held == "a session" else "active"]
    assert store.ownership.clients("d1") == []


def test_lease_that_was_over_is_told_although_it_is_the_one_that_was_given(
    store: RedisSessionStore, redis_client: redis.Redis
) -> None:
    """The node was paused: whatever happened meanwhile, it reclaims what it holds."""
    store.ownership.renew(A)
    assert store.ownership.renew(A)[0].held
    over = store.now_ms() - 1
    redis_client.zadd(store.keys.leases(0), {A: over})
    _, server = store.ownership._leases[A][0].split()
    store.ownership._leases[A] = {0: f"{over} {server}"}
    assert not store.ownership.renew(A)[0].held


def test_lease_that_somebody_else_made_is_told_although_it_runs(
    store: RedisSessionStore, redis_client: redis.Redis
) -> None:
    """A reply was lost, or Redis was emptied: the node reclaims what it holds."""
    store.ownership.renew(A)
    redis_client.zincrby(store.keys.leases(0), 1, A)
    assert not store.ownership.renew(A)[0].held


def test_lease_of_a_dead_node_that_ends_in_an_hour_is_cut_to_a_lease(
    store: RedisSessionStore, redis_client: redis.Redis
) -> None:
    redis_client.zadd(store.keys.leases(0), {A: store.now_ms() + 3_600_000})
    store.ownership.expire(0)
    lease = redis_client.zscore(store.keys.leases(0), A)
    assert lease is not None
    assert lease <= store.now_ms() + LEASE_MS
