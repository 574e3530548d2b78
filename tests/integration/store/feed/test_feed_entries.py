"""The feed at the store: every change, numbered, bounded, with an epoch."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import redis

from service import errors
from service.manager.manager import SessionManager
from service.sessions.model import SUMMARY_FIELDS, NewCommand, Registration
from service.sessions.store.devices import Said
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store, part

A = "host-aaaa"


def entries(store: RedisSessionStore, client: redis.Redis) -> list[tuple[int, str]]:
    """(number, type) of all feed entries."""
    rows = client.xrange(store.keys.feed(0))
    return [(int(row_id.split("-")[0]), next(iter(fields))) for row_id, fields in rows]


def test_feed_has_every_change_numbered_without_a_gap(
    store: RedisSessionStore, client: redis.Redis, manager: SessionManager
) -> None:
    """Each script that changes something writes the entry for it."""
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))])
    manager.update_setup("d1", {})
    store.commands.add("d1", NewCommand("c1", "reboot", "null", 60_000))
    store.ownership.join("d1", A, "aaaa.2")
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "x")
    store.cleanup.delete("d1")
    found = entries(store, client)
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    queued = cancelled = ["command", "state"]  # and how many are open
    joined, left, gone = "state", "state", "removed"
    changes = ["state", "data", "state", *queued, joined, left, *cancelled, gone]
    assert [kind for _, kind in found] == changes
    head = store.samples.open_feed(0)
    assert (head.first, head.last) == (1, len(found))


def test_feed_says_of_a_session_what_lists_say(
    store: RedisSessionStore, client: redis.Redis, manager: SessionManager
) -> None:
    """All of it: a dashboard keeps its list by the feed alone."""
    store.devices.report("d1", Said(expect_every_ms=5_000, reported_version=1), create=True)
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1", session_name="D", project_id="p")
    store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))])
    store.ownership.touch(0, [("d1", own.generation, 1_000)], refresh=False)
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "x")
    manager.update_setup("d1", {})
    store.ownership.join("d1", A, "aaaa.2")
    store.commands.add("d1", NewCommand("c1", "reboot", "null", 60_000))
    [listed] = store.index.summaries(["d1"])
    fields = client.xrevrange(store.keys.feed(0), count=1)[0][1]
    assert listed is not None
    assert fields.pop("counts") == "same"
    assert {*listed} == {*SUMMARY_FIELDS, "session_id"}
    assert {**fields, "session_id": "d1"} == listed


def test_entry_says_that_counts_are_the_same_where_they_are(
    store: RedisSessionStore, client: redis.Redis, manager: SessionManager
) -> None:
    """A dashboard's node reads them again only where an entry does not say so."""
    counts, seen, says = store.index.counts(), 0, {}

    def did(what: str) -> None:
        nonlocal counts, seen
        rows = [fields for _, fields in client.xrange(store.keys.feed(0))]
        states = [one for one in rows[seen:] if next(iter(one)) in ("state", "removed")]
        seen = len(rows)
        says[what] = bool(states) and all(one.get("counts") == "same" for one in states)
        before, counts = counts, store.index.counts()
        assert not says[what] or counts == before

    store.devices.report("d2", Said(expect_every_ms=5_000, reported_version=1), create=True)
    did("report")
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="p")
    did("register")
    for command_id in ("c1", "c2", "c3"):
        store.commands.add("d1", NewCommand(command_id, "go", "null", 60_000))
        did("add")
    store.commands.take("d1", own.generation)
    store.commands.delivered("d1", own.generation, "c1")
    store.commands.finish("d1", own.generation, "c1", ok=True)
    did("finish")
    store.commands.cancel("d1", "c2")
    did("cancel")
    manager.update_setup("d1", {"a": 1})
    did("setup_put")
    store.setups.reported("d1", own.generation, 1)
    did("setup_reported")
    manager.undo_setup("d1")
    did("setup_step")
    store.ownership.join("d1", A, "aaaa.2")
    did("join")
    store.ownership.leave("d1", A, "aaaa.2")
    did("leave")
    store.ownership.register("d1", node_id=A, sid="aaaa.3", project_id="q")
    did("move")
    store.ownership.disconnect(0, A, [("d1", "aaaa.3", own.generation + 1)], "x")
    store.cleanup.delete("d1")
    did("delete")
    assert {what for what, same in says.items() if not same} == {
        *("report", "register", "move", "delete")
    }


def test_feed_is_trimmed_by_bytes_and_by_age(client: redis.Redis, key_prefix: str) -> None:
    """What is kept: the last `keep_s`, and no more than `max_bytes`; a trim is seen by `first`."""
    store = make_store(client, key_prefix, feed_max_bytes=20_000)
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    for i in range(400):
        store.samples.append(0, A, i + 1, [part("d1", own.generation, ("k", "x" * 100))])
    head = store.samples.open_feed(0)
    size = sum(len(orjson.dumps(fields)) for _, fields in client.xrange(store.keys.feed(0)))
    assert head.first > 1
    assert 15_000 < size < 40_000
    brief = make_store(client, f"{key_prefix}b", feed_keep_ms=1)
    own = brief.ownership.register("d1", node_id=A, sid="aaaa.1")
    for i in range(300):
        brief.samples.append(0, A, i + 1, [part("d1", own.generation, ("k", 1))])
    assert brief.samples.open_feed(0).first > 100


def test_feed_of_steps_with_two_entries_each_is_trimmed(
    client: redis.Redis, key_prefix: str
) -> None:
    """Whether their numbers are even or odd."""
    for entries_before in (1, 2):
        store = make_store(client, f"{key_prefix}{entries_before}", feed_keep_ms=1)
        for i in range(entries_before):
            store.ownership.register(f"d{i}", node_id=A, sid="aaaa.1")
        for i in range(100):
            store.commands.add("d0", NewCommand(f"c{i}", "go", "null", 60_000))
            store.commands.cancel("d0", f"c{i}")
        head = store.samples.open_feed(0)
        assert head.last == entries_before + 400
        assert head.first > 300


def test_counter_that_was_lost_starts_a_new_feed(
    store: RedisSessionStore, client: redis.Redis, own: Registration
) -> None:
    """Whatever of the old one is left: its numbers would be in the way."""
    client.delete(store.keys.epoch(0))
    store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))])
    assert entries(store, client) == [(1, "data")]
    client.delete(store.keys.epoch(0))
    store.commands.add("d1", NewCommand("c1", "go", "null", 60_000))
    assert entries(store, client) == [(1, "command"), (2, "state")]


def test_feed_epoch_is_new_when_redis_was_emptied(
    store: RedisSessionStore, client: redis.Redis, key_prefix: str, own: Registration
) -> None:
    """The same data, the same epoch; lost data, another one."""
    epoch = store.samples.open_feed(0).epoch
    assert store.samples.open_feed(0).epoch == epoch
    for key in list(client.scan_iter(f"{key_prefix}:*")):
        client.delete(key)
    store.ownership.register("d2", node_id=A, sid="aaaa.2")
    assert store.samples.open_feed(0).epoch != epoch


def test_feed_epoch_is_new_after_a_restart_of_redis(own_server: Any, key_prefix: str) -> None:
    """A restarted server may have lost its last second."""
    with redis.Redis.from_url(own_server.url, decode_responses=True) as client:
        store = make_store(client, key_prefix)
        own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
        batch = [part("d1", own.generation, ("k", 1))]
        first = store.samples.append(0, A, 1, batch)
        epoch = store.samples.open_feed(0).epoch
        own_server.kill()
        with pytest.raises(errors.StoreUnavailable):
            store.samples.open_feed(0)
        own_server.start()
        assert store.samples.open_feed(0).epoch != epoch
        assert store.samples.append(0, A, 1, batch) == first
        assert len(store.index.details("d1")["data"]["k"]) == 1  # type: ignore[index]


def test_open_with_other_partitions_is_refused(client: redis.Redis, key_prefix: str) -> None:
    """The number of partitions is fixed at the first start."""
    make_store(client, key_prefix, partitions=1)
    with pytest.raises(errors.ConfigError, match=r"redis\.partitions"):
        make_store(client, key_prefix, partitions=2)
