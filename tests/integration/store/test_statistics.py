"""What a session counts of its life, and what it keeps of its past: each figure that people are shown."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service.sessions.model import NewCommand
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding, make_store, part

A, B = "host-aaaa", "host-bbbb"


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, flapping_registers=0)


def statistics(store: RedisSessionStore) -> dict[str, Any]:
    details = store.index.details("d1")
    assert details is not None
    return dict(details["statistics"])


def began(store: RedisSessionStore, seconds_ago: int) -> None:
    """The present connection was made so long ago."""
    then = store.now_ms() - 1000 * seconds_ago
    store.runner.client.hset(store.keys.session("d1"), "start_time", then)


def test_samples_and_their_bytes_are_counted(store: RedisSessionStore) -> None:
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    sent = 0
    for number in (1, 2):
        batch = part("d1", own.generation, ("a", number), ("b", "text"), ("a", 3))
        sent += batch.bytes_in
        store.samples.append(0, A, number, [batch])
    counted = statistics(store)
    assert (counted["updates"], counted["bytes_in"]) == (6, sent)


def test_time_of_every_connection_is_counted(store: RedisSessionStore) -> None:
    """Those that were taken over, those that ended, and the present one."""
    store.ownership.register("d1", node_id=A, sid="aaaa.1")
    began(store, 1_000)
    second = store.ownership.register("d1", node_id=B, sid="bbbb.1")
    began(store, 200)
    store.ownership.disconnect(0, B, [("d1", "bbbb.1", second.generation)], "gone")
    store.ownership.register("d1", node_id=A, sid="aaaa.2")
    began(store, 30)
    counted = statistics(store)
    assert counted["connects"] == 3
    assert 1_230 <= counted["connected_s"] < 1_235


def test_clock_that_went_back_takes_no_connected_time_away(store: RedisSessionStore) -> None:
    for sid in ("aaaa.1", "aaaa.2"):
        own = store.ownership.register("d1", node_id=A, sid=sid)
        began(store, 100 if sid == "aaaa.1" else -1_000)
        store.ownership.disconnect(0, A, [("d1", sid, own.generation)], "gone")
    assert 100 <= statistics(store)["connected_s"] < 105


def test_repeated_register_of_one_socket_is_no_connection(store: RedisSessionStore) -> None:
    for _ in range(3):
        store.ownership.register("d1", node_id=A, sid="aaaa.1")
    assert statistics(store)["connects"] == 1


def test_connection_in_an_emptied_redis_counts_as_one(
    store: RedisSessionStore, redis_client: redis.Redis
) -> None:
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    for key in list(redis_client.scan_iter(f"{store.keys.prefix}:*")):
        redis_client.delete(key)
    store.ownership.reclaim(0, A, [holding(own, "aaaa.1")])
    assert statistics(store)["connects"] == 1


def test_timeline_keeps_the_last_200_lines(store: RedisSessionStore) -> None:
    store.ownership.create("d1")
    for version in range(1, 206):
        store.setups.put("d1", str(version).encode())
    lines = store.index.timeline("d1")
    assert len(lines) == 200
    assert (lines[0]["version"], lines[-1]["version"]) == (6, 205)


def test_repeated_join_and_leave_change_nothing(store: RedisSessionStore) -> None:
    """Also no rev: else an archive commit is refused for nothing, and dashboards are told for nothing."""
    store.ownership.create("d1")
    for action, count in ((store.ownership.join, 1), (store.ownership.leave, 0)):
        assert action("d1", A, "aaaa.7") == count
        before = store.index.get("d1")
        assert action("d1", A, "aaaa.7") == count
        assert store.index.get("d1") == before


def test_report_of_a_setup_changes_the_rev_once(store: RedisSessionStore) -> None:
    """So that an archive that was read before it is refused."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    revs = []
    for version in (1, 1, 2):
        store.setups.reported("d1", own.generation, version)
        revs.append(int((store.index.get("d1") or {})["rev"]))
    assert revs[0] == own.rev + 1
    assert (revs[1], revs[2]) == (revs[0], revs[0] + 1)


def test_undo_and_redo_keep_100_steps(store: RedisSessionStore) -> None:
    store.ownership.create("d1")
    for version in range(102):
        store.setups.put("d1", str(version).encode())
    client = store.runner.client
    assert client.llen(store.keys.undo("d1")) == 100
    for _ in range(100):
        store.setups.undo("d1")
    client.lpush(store.keys.undo("d1"), "-1")
    store.setups.undo("d1")
    assert client.llen(store.keys.redo("d1")) == 100


def test_ended_commands_keep_to_100_with_all_that_belongs_to_them(store: RedisSessionStore) -> None:
    store.ownership.create("d1")
    for n in range(102):
        command = NewCommand(f"c{n}", "go", "{}", 60_000, idempotency_key=f"k{n}")
        store.commands.add("d1", command)
        store.commands.cancel("d1", f"c{n}")
    client = store.runner.client
    assert client.llen(store.keys.commands_done("d1")) == 100
    fields = client.hkeys(store.keys.commands("d1"))
    assert {field for field in fields if field.startswith(("c0", "c1:", "key:k0", "key:k1"))} <= {
        f"key:k{n}" for n in (*range(10, 20), 100, 101)
    }
    assert len(fields) == 300
