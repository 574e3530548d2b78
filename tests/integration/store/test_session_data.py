"""Samples, setups, commands, lists and the feed at the store, on a real server and on fakeredis.

The one file that runs on both: it holds fakeredis to what others may test their programs with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import fakeredis
import orjson
import pytest
import redis

from service import errors
from service.manager.manager import SessionManager
from service.sessions.model import NewCommand, Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.stores import expire_all, make_store, part
from tests.support.waiting import wait_until

A, B = "host-aaaa", "host-bbbb"


class Told:
    """Remembers what sockets and nodes were told."""

    def __init__(self) -> None:
        self.all: list[tuple[str, ...]] = []

    def emit_to(self, sid: str, event: str, data: Any) -> None:
        self.all.append(("emit", sid, event))

    def disconnect(self, sid: str) -> None:
        self.all.append(("disconnect", sid))

    def notify(self, node_id: str, topic: str, data: Any) -> None:
        self.all.append(("notify", node_id, topic))


@pytest.fixture(params=["fakeredis", "server"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    if request.param == "fakeredis":
        server = fakeredis.FakeServer(version=(7, 2))
        made: redis.Redis = fakeredis.FakeRedis(server=server, decode_responses=True)
    else:
        made = redis.Redis.from_url(request.getfixturevalue("redis_url"), decode_responses=True)
    with made:
        yield made


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(client, key_prefix, history_default=5, history_keys={"long": 8}, max_keys=4)


@pytest.fixture
def manager(store: RedisSessionStore) -> SessionManager:
    return SessionManager(store, Told())


@pytest.fixture
def own(store: RedisSessionStore) -> Registration:
    return store.ownership.register("d1", node_id=A, sid="aaaa.1", project_id="p1")


def told(manager: SessionManager) -> list[tuple[str, ...]]:
    messages = manager.messages
    assert isinstance(messages, Told)
    return messages.all


# -- samples --


def test_append_history_never_exceeds_its_bound(
    store: RedisSessionStore, client: redis.Redis, own: Registration
) -> None:
    """A key's history has at most its configured size in Redis, newest last, whatever the batch."""
    for i in range(1, 8):
        samples = [("k", 10 * i + j) for j in range(3)] + [("long", 10 * i + j) for j in range(3)]
        store.samples.append(0, A, i, [part("d1", own.generation, *samples)])
        assert client.llen(store.keys.history("d1", "k")) <= 5
        assert client.llen(store.keys.history("d1", "long")) <= 8
    details = store.index.details("d1")
    assert details is not None
    assert [value for value, _ in details["data"]["k"]] == [61, 62, 70, 71, 72]
    assert [value for value, _ in details["data"]["long"]] == [50, 51, 52, 60, 61, 62, 70, 71, 72][
        1:
    ]
    assert details["telemetry"] == {"k": 72, "long": 72}


def test_append_same_number_again_answers_as_before_and_stores_nothing(
    store: RedisSessionStore, own: Registration
) -> None:
    """A flush repeated after a lost reply is harmless; the next number is stored."""
    first = store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))])
    before = store.index.get("d1"), store.samples.open_feed(0)
    assert store.samples.append(0, A, 1, [part("d1", own.generation, ("k", 1))]) == first
    assert (store.index.get("d1"), store.samples.open_feed(0)) == before
    assert (
        store.samples.append(0, A, 2, [part("d1", own.generation, ("k", 1))])[0].value
        == first[0].value + 1
    )


def test_append_repeated_after_the_lease_was_over_stores_nothing(
    client: redis.Redis, key_prefix: str
) -> None:
    """A paused node whose flush was stored, and who was expired meanwhile, repeats it for nothing."""
    store = make_store(client, key_prefix, lease_ms=50)
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    batch = [part("d1", own.generation, ("k", 1))]
    first = store.samples.append(0, A, 7, batch)
    wait_until(lambda: expire_all(store) > 0, 3)
    assert store.samples.append(0, A, 7, batch) == first
    assert len(store.index.details("d1")["data"]["k"]) == 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("seq", "word", "value"),
    [
        ((4, 5), "ok", None),
        ((3, 4), "conflict", 3),
        ((5, 6), "conflict", 3),
        ((1, 2), "conflict", 3),
    ],
    ids=["next", "overlap", "gap", "old"],
)
def test_append_seq_must_follow_the_last(
    store: RedisSessionStore, own: Registration, seq: tuple[int, int], word: str, value: int | None
) -> None:
    """A counter that repeats or skips stores nothing and answers the last seq."""
    store.samples.append(
        0, A, 1, [part("d1", own.generation, ("k", 1), ("k", 2), ("k", 3), seq=(1, 3))]
    )
    result = store.samples.append(
        0, A, 2, [part("d1", own.generation, ("k", 8), ("k", 9), seq=seq)]
    )[0]
    assert result.word == word
    if value is not None:
        assert result.value == value
    stored = [sample[0] for sample in store.index.details("d1")["data"]["k"]]  # type: ignore[index]
    assert stored == ([1, 2, 3, 8, 9] if word == "ok" else [1, 2, 3])


def test_register_with_another_stream_starts_its_counter_again(
    store: RedisSessionStore, own: Registration
) -> None:
    """`last_seq` belongs to the stream: the same one goes on, another begins at 0."""
    first = store.ownership.register("s", node_id=A, sid="aaaa.2", stream="run 1")
    store.samples.append(
        0, A, 1, [part("s", first.generation, ("k", 1), seq=(1, 1), stream="run 1")]
    )
    assert store.ownership.register("s", node_id=B, sid="bbbb.2", stream="run 1").last_seq == 1
    assert store.ownership.register("s", node_id=A, sid="aaaa.3", stream="run 2").last_seq == 0


def test_register_again_on_the_same_socket_with_another_stream_starts_its_counter_again(
    store: RedisSessionStore,
) -> None:
    """The counter belongs to the stream, whichever socket names it."""
    own = store.ownership.register("s", node_id=A, sid="aaaa.2", stream="run 1", meta={"v": 1})
    store.samples.append(0, A, 1, [part("s", own.generation, ("k", 1), seq=(1, 1), stream="run 1")])
    again = store.ownership.register("s", node_id=A, sid="aaaa.2", stream="run 2")
    assert (again.same, again.last_seq, again.meta) == (True, 0, '{"v":1}')
    result = store.samples.append(
        0, A, 2, [part("s", own.generation, ("k", 2), seq=(1, 1), stream="run 2")]
    )
    assert result[0].word == "ok"


def test_append_too_many_data_keys_stores_nothing_of_that_part(
    store: RedisSessionStore, own: Registration
) -> None:
    """`max_keys` bounds a session; known keys still fit."""
    samples = [(name, 1) for name in "abcd"]
    assert store.samples.append(0, A, 1, [part("d1", own.generation, *samples)])[0].word == "ok"
    more = [part("d1", own.generation, ("a", 2), ("e", 2))]
    assert store.samples.append(0, A, 2, more)[0].word == "too_many_keys"
    assert store.samples.append(0, A, 3, [part("d1", own.generation, ("a", 3))])[0].word == "ok"
    assert store.index.details("d1")["telemetry"] == {"a": 3, "b": 1, "c": 1, "d": 1}  # type: ignore[index]


def test_history_keys_of_awkward_ids_do_not_meet(store: RedisSessionStore) -> None:
    """Ids and data keys with ':' and '%' never share a history."""
    pairs = [("a", "b:c"), ("a:b", "c"), ("a%3Ab", "c"), ("a%", "3Ab:c")]
    for i, (session_id, data_key) in enumerate(pairs):
        own = store.ownership.register(session_id, node_id=A, sid=f"aaaa.{i}")
        store.samples.append(0, A, i + 1, [part(session_id, own.generation, (data_key, i))])
    for i, (session_id, data_key) in enumerate(pairs):
        data = store.index.details(session_id)["data"]  # type: ignore[index]
        assert data == {data_key: [[i, 1.5]]}


# -- sessions without a connection --


def test_update_telemetry_keeps_the_other_keys(manager: SessionManager) -> None:
    """A partial update changes the keys it names."""
    session_id = manager.create_session("name", "p")
    manager.update_telemetry(session_id, {"a": 1, "b": {"x": [None]}})
    manager.update_telemetry(session_id, {"a": 2})
    session = manager.get_session(session_id)
    assert session is not None
    assert session["telemetry"] == {"a": 2, "b": {"x": [None]}}
    wanted = ("session_id", "created_at", "setup", "setup_timestamp", "telemetry", "last_update")
    assert set(wanted) <= set(session)
    assert session["created_at"].endswith("Z")
    assert manager.get_active_sessions() == [session_id]


def test_write_without_a_connection_leaves_a_device_session_inactive(
    store: RedisSessionStore, manager: SessionManager, own: Registration
) -> None:
    """REST writes to a device that is away do not make it look present."""
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "x")
    manager.update_telemetry("d1", {"k": 1})
    assert store.index.get("d1")["state"] == "inactive"  # type: ignore[index]


def test_session_without_a_connection_is_active_while_it_is_updated(
    client: redis.Redis, key_prefix: str
) -> None:
    """Idle it becomes inactive, an update makes it active again."""
    store = make_store(client, key_prefix, idle_after_ms=1)
    manager = SessionManager(store, Told())
    session_id = manager.create_session()
    wait_until(lambda: store.cleanup.sweep_idle(0) == 1, 2)
    assert store.index.counts()["inactive"] == 1
    manager.update_telemetry(session_id, {"k": 1})
    assert store.index.counts() == {"active": 1, "inactive": 0, "archived": 0}


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.update_telemetry("nobody", {"a": 1}),
        lambda m: m.update_setup("nobody", {}),
        lambda m: m.patch_setup("nobody", {}),
        lambda m: m.undo_setup("nobody"),
        lambda m: m.delete_session("nobody"),
        lambda m: m.queue_command("nobody", "go"),
    ],
)
def test_manager_unknown_id_is_session_not_found(
    manager: SessionManager, call: Callable[[SessionManager], Any]
) -> None:
    """Unknown ids: None from get_session, SessionNotFound from the others."""
    assert manager.get_session("nobody") is None
    with pytest.raises(errors.SessionNotFound):
        call(manager)


@pytest.mark.parametrize(
    "telemetry",
    [
        {},
        [],
        None,
        {"": 1},
        {"k\n": 1},
        {"k": float("nan")},
        {"k": float("inf")},
        {"k": {1}},
        {"k": datetime.now()},
    ],
)
def test_manager_bad_telemetry_is_invalid_request_and_stores_nothing(
    manager: SessionManager, telemetry: Any
) -> None:
    """What is no JSON object of named values never reaches Redis."""
    session_id = manager.create_session()
    with pytest.raises(errors.InvalidRequest):
        manager.update_telemetry(session_id, telemetry)
    assert manager.get_session(session_id)["telemetry"] == {}  # type: ignore[index]


def test_manager_value_too_deep_or_too_large_is_refused(manager: SessionManager) -> None:
    """Depth 32 is allowed, 33 is not; 64 KiB of JSON is allowed, more is not."""
    session_id = manager.create_session()
    deep: Any = 1
    for _ in range(32):
        deep = [deep]
    manager.update_telemetry(session_id, {"k": deep})
    with pytest.raises(errors.InvalidRequest):
        manager.update_telemetry(session_id, {"k": [deep]})
    manager.update_telemetry(session_id, {"k": "x" * (65536 - 2)})
    with pytest.raises(errors.TooLarge):
        manager.update_telemetry(session_id, {"k": "x" * (65536 - 1)})


# -- setups --


def test_setup_versions_undo_and_redo(manager: SessionManager, own: Registration) -> None:
    """Each change is a new version; undo and redo are changes too; the device is sent each."""
    assert manager.update_setup("d1", {"a": 1, "e": []}).version == 1
    assert manager.patch_setup("d1", {"b": {"c": None, "d": 2}}).setup == {
        "a": 1,
        "e": [],
        "b": {"d": 2},
    }
    undone = manager.undo_setup("d1")
    assert (undone.setup, undone.version, undone.undo, undone.redo) == ({"a": 1, "e": []}, 3, 1, 1)
    assert manager.redo_setup("d1").setup == {"a": 1, "e": [], "b": {"d": 2}}
    manager.undo_setup("d1")
    manager.update_setup("d1", [])
    with pytest.raises(errors.Conflict):
        manager.redo_setup("d1")
    assert told(manager).count(("emit", "aaaa.1", "setup")) == 6


def test_setup_undo_is_bounded_and_ends(manager: SessionManager, own: Registration) -> None:
    """A hundred steps back, no more; one step before the first setup there is none."""
    for i in range(105):
        manager.update_setup("d1", i)
    for i in range(100):
        assert manager.undo_setup("d1").setup == 103 - i
    with pytest.raises(errors.Conflict):
        manager.undo_setup("d1")


def test_setup_version_that_is_not_the_present_one_is_refused(
    manager: SessionManager, own: Registration
) -> None:
    """Optimistic concurrency: the second of two writers with the same version is refused."""
    manager.update_setup("d1", {"a": 1}, version=0)
    with pytest.raises(errors.PreconditionFailed):
        manager.update_setup("d1", {"a": 2}, version=0)
    with pytest.raises(errors.PreconditionFailed):
        manager.undo_setup("d1", version=7)
    assert manager.get_setup("d1").setup == {"a": 1}


def test_setup_reported_version_tells_whether_the_device_is_in_sync(
    store: RedisSessionStore, manager: SessionManager, own: Registration
) -> None:
    """`in_sync` follows what the device says it runs."""
    manager.update_setup("d1", {"a": 1})
    assert manager.get_session("d1")["in_sync"] is False  # type: ignore[index]
    store.setups.reported("d1", own.generation, 1)
    assert manager.get_session("d1")["in_sync"] is True  # type: ignore[index]
    with pytest.raises(errors.StaleGeneration):
        store.setups.reported("d1", own.generation - 1, 1)


def test_scripts_that_redis_forgot_are_taught_again(
    store: RedisSessionStore, own: Registration
) -> None:
    """A restarted Redis knows no script: the call that finds out does its work all the same."""
    store.runner.client.script_flush()
    again = store.ownership.register("d1", node_id=B, sid="bbbb.9")
    assert again.generation > own.generation
    assert store.index.summaries(["d1"])[0]["node_id"] == B  # type: ignore[index]


# -- commands --


def add(store: RedisSessionStore, command_id: str, **options: Any) -> Any:
    values = {"params_json": "{}", "ttl_ms": 60_000, **options}
    return store.commands.add("d1", NewCommand(command_id, "go", **values))


def status_of(store: RedisSessionStore, command_id: str) -> str:
    return str(store.commands.get("d1", command_id)["status"])  # type: ignore[index]


def test_command_goes_its_way_to_success(store: RedisSessionStore, own: Registration) -> None:
    """queued → sent → delivered → succeeded, and nothing after that."""
    assert add(store, "c1").status == "queued"
    taken = store.commands.take("d1", own.generation)
    assert [(t.change.command_id, t.attempt) for t in taken] == [("c1", 1)]
    assert store.commands.delivered("d1", own.generation, "c1").status == "delivered"  # type: ignore[union-attr]
    done = store.commands.finish("d1", own.generation, "c1", ok=True, result_json='{"x":[]}')
    assert (done.status, done.changed) == ("succeeded", True)  # type: ignore[union-attr]
    late = store.commands.finish("d1", own.generation, "c1", ok=False)
    assert (late.status, late.changed) == ("succeeded", False)  # type: ignore[union-attr]
    assert store.commands.cancel("d1", "c1").changed is False  # type: ignore[union-attr]
    assert store.commands.get("d1", "c1")["result"] == {"x": []}  # type: ignore[index]
    assert store.index.get("d1")["open_commands"] == "0"  # type: ignore[index]


def test_session_is_reported_to_its_node_until_its_commands_are_over(
    store: RedisSessionStore, own: Registration
) -> None:
    """Renewals bring a node back to commands that it may not have sent, and no others."""
    for command_id in ("c1", "c2"):
        add(store, command_id)
    store.commands.take("d1", own.generation)
    store.commands.finish("d1", own.generation, "c1", ok=True)
    assert store.ownership.renew(A)[0].pending == ["d1"]
    store.commands.finish("d1", own.generation, "c2", ok=True)
    assert store.ownership.renew(A)[0].pending == []


def test_command_not_acknowledged_is_sent_again_in_order_over_the_next_connection(
    store: RedisSessionStore, own: Registration
) -> None:
    """What was delivered is not sent again; the rest is, in the order it was queued."""
    for i in range(5):
        add(store, f"c{i}")
    assert len(store.commands.take("d1", own.generation)) == 5
    store.commands.delivered("d1", own.generation, "c0")
    again = store.ownership.register("d1", node_id=B, sid="bbbb.1")
    assert again.undelivered == 4
    with pytest.raises(errors.StaleGeneration):
        store.commands.delivered("d1", own.generation, "c1")
    assert store.commands.take("d1", own.generation) == []
    taken = store.commands.take("d1", again.generation)
    assert [(t.change.command_id, t.attempt) for t in taken] == [(f"c{i}", 2) for i in range(1, 5)]


def test_command_deadline_ends_it_as_expired_or_timed_out(
    store: RedisSessionStore, own: Registration
) -> None:
    """Not delivered in time: expired. Delivered and no result in time: timed_out. Once."""
    add(store, "away", ttl_ms=30)
    add(store, "mute", ttl_ms=30)
    store.commands.take("d1", own.generation)
    store.commands.delivered("d1", own.generation, "mute")
    seen: list[tuple[str, str]] = []

    def ended() -> bool:
        seen.extend((c.command_id, c.status) for c in store.ownership.expire(0).commands)
        return len(seen) >= 2

    wait_until(ended, 3)
    assert sorted(seen) == [("away", "expired"), ("mute", "timed_out")]
    assert store.commands.finish("d1", own.generation, "mute", ok=True).changed is False  # type: ignore[union-attr]


def test_command_idempotency_key_answers_the_earlier_command(
    store: RedisSessionStore, own: Registration
) -> None:
    """The same key again queues nothing."""
    add(store, "c1", idempotency_key="k")
    again = add(store, "c2", idempotency_key="k")
    assert (again.command_id, again.created) == ("c1", False)
    assert len(store.commands.all("d1")) == 1


def test_command_queue_is_bounded_and_now_needs_a_connection(
    client: redis.Redis, key_prefix: str
) -> None:
    """A full queue is `overloaded`; `now` to an absent device is `device_offline`."""
    store = make_store(client, key_prefix, max_queued=3)
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    for i in range(3):
        add(store, f"c{i}")
    with pytest.raises(errors.Overloaded):
        add(store, "c3")
    store.commands.cancel("d1", "c0")
    add(store, "c3")
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "x")
    with pytest.raises(errors.DeviceOffline):
        add(store, "c4", now=True)


def test_command_records_of_finished_ones_are_bounded(
    store: RedisSessionStore, client: redis.Redis, own: Registration
) -> None:
    """The last hundred finished commands stay, with their keys; older ones leave nothing."""
    for i in range(105):
        add(store, f"c{i}", idempotency_key=f"k{i}")
        store.commands.cancel("d1", f"c{i}")
    assert len(store.commands.all("d1")) == 100
    assert store.commands.get("d1", "c4") is None
    assert client.hlen(store.keys.commands("d1")) == 300
    assert client.zcard(store.keys.commands_due(0)) == 0


def test_delete_cancels_open_commands_and_tells(
    store: RedisSessionStore, manager: SessionManager, own: Registration
) -> None:
    """Each open command of a deleted session ends as cancelled, its waiter hears of it."""
    add(store, "c1", waiter=B)
    manager.delete_session("d1")
    assert told(manager) == [
        ("emit", "aaaa.1", "deleted"),
        ("disconnect", "aaaa.1"),
        ("notify", B, "command"),
    ]


class Unreachable(Told):
    """The message queue is full: Redis accepted the change and is gone."""

    def emit_to(self, sid: str, event: str, data: Any) -> None:
        super().emit_to(sid, event, data)
        raise errors.StoreUnavailable

    def notify(self, node_id: str, topic: str, data: Any) -> None:
        raise errors.StoreUnavailable


def test_change_that_was_accepted_succeeds_though_nobody_can_be_told(
    store: RedisSessionStore, own: Registration
) -> None:
    """A failing message queue does not turn a stored change into an error, nor skip what follows."""
    manager = SessionManager(store, Unreachable())
    assert manager.update_setup("d1", {"a": 1}).version == 1
    assert manager.queue_command("d1", "go").status == "queued"
    manager.delete_session("d1")
    assert told(manager)[-1] == ("disconnect", "aaaa.1")
    assert store.index.get("d1") is None


# -- lists --


def listed(store: RedisSessionStore, state: str, limit: int, **filters: Any) -> list[str]:
    ids: list[str] = []
    cursor = None
    while True:
        page = store.index.page(state, limit=limit, cursor=cursor, **filters)
        assert len(page.items) <= limit
        ids += [item["session_id"] for item in page.items]
        cursor = page.next
        if cursor is None:
            return ids


@pytest.mark.parametrize("partitions", [1, 3])
def test_list_pages_show_each_session_once_under_churn(
    client: redis.Redis, key_prefix: str, partitions: int
) -> None:
    """What is there throughout is listed exactly once, while others come and go."""
    store = make_store(client, key_prefix, partitions)
    for i in range(60):
        store.ownership.create(f"stay{i:02}", "", "p")
    for p in range(partitions):  # many with the same score, as after a mass reconnect
        for member in client.zrange(store.keys.active(p), 0, -1):
            client.zadd(store.keys.active(p), {member: 1_000})
    for i in range(20):
        store.ownership.create(f"go{i}")
    seen: list[str] = []
    cursor = None
    turn = 0
    while True:
        page = store.index.page("active", limit=7, cursor=cursor)
        seen += [item["session_id"] for item in page.items]
        cursor = page.next
        if cursor is None:
            break
        store.cleanup.delete(f"go{turn}")
        store.ownership.create(f"new{turn}")
        turn += 1
    assert [i for i in seen if i.startswith("stay")] == [f"stay{i:02}" for i in range(60)]
    assert len(seen) == len(set(seen))
    assert sorted(listed(store, "active", 9, project_id="p")) == [f"stay{i:02}" for i in range(60)]
    assert listed(store, "active", 4, q="STAY1") == [f"stay{i}" for i in range(10, 20)]


def test_list_bad_cursor_is_invalid_request(store: RedisSessionStore) -> None:
    """A cursor that is not ours gets a clear error."""
    for cursor in ("x", "e30=", "ÿ", "WzEsIDJd" * 3):
        with pytest.raises(errors.InvalidRequest):
            store.index.page("active", cursor=cursor)


# -- the feed --


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
    add(store, "c1")
    store.ownership.join("d1", A, "aaaa.2")
    store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "x")
    store.cleanup.delete("d1")
    found = entries(store, client)
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    kinds = [kind for _, kind in found]
    assert kinds[:6] == ["state", "data", "state", "command", "state", "state"]
    assert kinds[-1] == "removed"
    head = store.samples.open_feed(0)
    assert (head.first, head.last) == (1, len(found))


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
