"""Messages about commands that scripts send with what they store: to whom, what they say, and when there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from service import errors
from service.live.queue import routing
from service.live.queue.lanes import Lanes
from service.live.queue.streams import QueueCounters
from service.manager.manager import SessionManager
from service.redis_access.clients import redis_factory
from service.sessions.model import CommandChange, Registration
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer
from tests.support.nodes.stores import make_store
from tests.support.told import Told, notices, told

A, B, C = "host-aaaa", "host-bbbb", "host-cccc"


class Bench:
    """The part of node A, B or C in commands to one device, and the inboxes of all."""

    generation = 0

    def __init__(self, store: RedisSessionStore, node_id: str = B) -> None:
        self.store = store
        self.redis: Any = store.runner.client
        self.counters = QueueCounters()
        self.counted: list[str] = []
        self.act_as(node_id)
        for one in (A, B, C):
            self.redis.xadd(self.inbox(one), {"n": "x:0", "d": "greeting"})

    def act_as(self, node_id: str) -> None:
        token = node_id.rpartition("-")[2]
        self.store.commands.lanes = Lanes(self.store.keys, token, cap=1000, counters=self.counters)
        self.manager = SessionManager(self.store, Told(), count=self.counted.append)

    def inbox(self, node_id: str) -> str:
        return self.store.keys.inbox(node_id.rpartition("-")[2])

    def messages(self, node_id: str) -> list[dict[str, Any]]:
        """What a node reads, without what it drops as repeated."""
        seen = routing.Seen()
        found = []
        for entry_id, fields in self.redis.xrange(self.inbox(node_id))[1:]:
            flat = [one.encode() for field in fields.items() for one in field]
            entry = routing.parse_entry(entry_id.encode(), flat)
            assert entry is not None
            if seen.is_new(entry):
                found.append(routing.decode(entry.body, orjson.loads))
        return found

    def told(self) -> list[tuple[str, ...]]:
        """What was sent otherwise."""
        return told(self.manager)

    def command(self, **options: Any) -> Any:
        return self.manager.queue_command("d1", "go", waiter=B, command_id="c1", **options)

    def finish(self, generation: int, *, ok: bool = True, **end: Any) -> CommandChange:
        change = self.store.commands.finish("d1", generation, "c1", ok=ok, **end)
        assert change is not None
        return change

    def lose_one_reply(self, then: Callable[[], object] = lambda: None) -> list[Any]:
        for script in self.store.runner.scripts.values():
            self.redis.script_load(script.script)
        connections = self.store.runner._connections
        call, lost = connections.call, []

        def lose_first(command: Any) -> Any:
            answer = call(command)
            if not lost:
                lost.append(answer)
                then()
                raise RedisConnectionError("cut")
            return answer

        connections.call = lose_first  # type: ignore[method-assign]
        return lost


DELIVER = {"method": "notify", "topic": "deliver", "data": {"session_id": "d1"}}


@pytest.fixture
def bench(store: RedisSessionStore, own: Registration) -> Iterator[Bench]:
    """Node B, where a dashboard is; the device is on node A."""
    made = Bench(store)
    yield made
    made.redis.delete(*map(made.inbox, (A, B, C)))


@pytest.fixture
def sent(bench: Bench, own: Registration) -> Bench:
    """Node A, after it has sent the device a command that a request on B waits for."""
    bench.command()
    bench.act_as(A)
    bench.store.commands.take("d1", own.generation)
    bench.counters.sent = 0
    return bench


# --- that there is a command


def test_owner_is_notified_when_the_command_is_stored(bench: Bench, own: Registration) -> None:
    added = bench.command()
    assert (added.created, added.is_notified) == (True, True)
    assert bench.messages(A) == [DELIVER]
    assert bench.messages(B) == bench.messages(C) == bench.told() == []
    assert bench.counters.sent == 1
    assert bench.counted == ["queued"]
    assert len(bench.store.commands.take("d1", own.generation)) == 1


def test_node_that_has_the_session_now_is_notified(bench: Bench) -> None:
    bench.store.ownership.register("d1", node_id=C, sid="cccc.1")
    bench.command()
    assert bench.messages(C) == [DELIVER]
    assert bench.messages(A) == []


def test_owner_that_queues_the_command_itself_needs_no_message(bench: Bench) -> None:
    bench.act_as(A)
    assert not bench.command().is_notified
    assert bench.messages(A) == []
    assert bench.told() == [("notify", A, "deliver")]  # which acts at once


def test_no_node_is_notified_where_none_has_the_session(bench: Bench, own: Registration) -> None:
    bench.store.ownership.disconnect(0, A, [("d1", "aaaa.1", own.generation)], "left")
    assert bench.command().created
    assert bench.messages(A) == bench.told() == []


@pytest.mark.parametrize("is_there", [False, True])
def test_command_is_stored_and_announced_otherwise_where_redis_does_not_take_the_message(
    bench: Bench, own: Registration, is_there: bool
) -> None:
    """Where its inbox is gone the node may make it again, and the outbox waits for that."""
    bench.redis.unlink(bench.inbox(A))
    if is_there:
        bench.redis.set(bench.inbox(A), "no stream")
    added = bench.command()
    assert (added.created, added.is_notified) == (True, False)
    assert bench.told() == [("notify", A, "deliver")]
    assert bool(bench.redis.exists(bench.inbox(A))) is is_there
    assert bench.counters.sent == 0
    assert len(bench.store.commands.take("d1", own.generation)) == 1


def test_lost_reply_queues_and_announces_one_command(bench: Bench, own: Registration) -> None:
    lost = bench.lose_one_reply()
    added = bench.command()
    assert lost and added.created and added.is_notified
    assert bench.messages(A) == [DELIVER]
    assert bench.told() == []
    assert len(bench.store.commands.take("d1", own.generation)) == 1


def test_redis_that_has_forgotten_the_script_is_sent_it_with_the_message(bench: Bench) -> None:
    bench.redis.script_flush()
    assert bench.command().is_notified
    assert bench.messages(A) == [DELIVER]
    assert bench.told() == []


def test_nothing_is_sent_of_a_command_that_is_refused_or_was_there(bench: Bench) -> None:
    bench.command(idempotency_key="k")
    assert not bench.command(idempotency_key="k").created
    for number in range(bench.store.runner.settings.max_queued - 1):
        bench.manager.queue_command("d1", "go", command_id=f"other-{number}")
    with pytest.raises(errors.Overloaded):
        bench.manager.queue_command("d1", "go", command_id="one-more")
    assert bench.messages(A) == [DELIVER] * bench.store.runner.settings.max_queued
    assert bench.told() == []


def test_id_with_any_characters_is_said_as_it_is(bench: Bench) -> None:
    device = 'dé"\\/\u2028'
    bench.store.ownership.register(device, node_id=A, sid="aaaa.2")
    bench.manager.queue_command(device, "go")
    assert bench.messages(A) == [{**DELIVER, "data": {"session_id": device}}]


# --- that it has ended


@pytest.mark.parametrize(
    ("ok", "end"),
    [
        (True, {}),
        (True, {"result_json": '{"a/b":[1.5,null,"\\"ü\\u0001"],"c":{"d":true}}'}),
        (True, {"result_json": "0"}),
        (False, {"error_json": '{"code":"no","message":"Is \\\\ off"}'}),
    ],
)
def test_script_says_what_the_node_would_say_from_the_row(
    sent: Bench, own: Registration, ok: bool, end: dict[str, str]
) -> None:
    change = sent.finish(own.generation, ok=ok, **end)
    assert (change.changed, change.is_notified) == (True, True)
    view = sent.store.commands.get("d1", "c1")
    manager = SessionManager(sent.store, Told())
    status = str(view["status"])  # type: ignore[index]
    manager.notify_waiters([CommandChange("d1", "c1", "go", status, B, view=view)])
    (data,) = notices(manager)
    assert data["end"].keys() >= {"attempt", "updated_at"}
    assert sent.messages(B) == [{"method": "notify", "topic": "command", "data": data}]


def test_what_the_script_has_sent_is_not_sent_again_and_counts_once(
    sent: Bench, own: Registration
) -> None:
    sent.counted.clear()
    sent.manager.notify_waiters([sent.finish(own.generation)])
    assert sent.told() == []
    assert sent.counted == ["succeeded"]
    assert sent.counters.sent == 1


@pytest.mark.parametrize("is_there", [False, True])
def test_command_ends_and_is_said_otherwise_where_redis_does_not_take_the_message(
    sent: Bench, own: Registration, is_there: bool
) -> None:
    sent.redis.unlink(sent.inbox(B))
    if is_there:
        sent.redis.set(sent.inbox(B), "no stream")
    change = sent.finish(own.generation, result_json="7")
    assert (change.changed, change.is_notified) == (True, False)
    assert change.view is not None and change.view["result"] == 7
    assert sent.store.commands.get("d1", "c1")["status"] == "succeeded"  # type: ignore[index]
    assert bool(sent.redis.exists(sent.inbox(B))) is is_there


def test_end_that_is_repeated_after_a_lost_reply_is_sent_once(
    sent: Bench, own: Registration
) -> None:
    assert sent.lose_one_reply() == []
    again = sent.finish(own.generation)
    assert (again.changed, again.is_notified, again.status) == (False, False, "succeeded")
    assert [message["data"]["status"] for message in sent.messages(B)] == ["succeeded"]


def test_nothing_is_sent_of_an_end_that_is_refused(sent: Bench, own: Registration) -> None:
    with pytest.raises(errors.StaleGeneration):
        sent.finish(own.generation - 1)
    assert sent.messages(B) == []


def test_node_whose_own_request_waits_needs_no_message(sent: Bench, own: Registration) -> None:
    sent.act_as(B)
    change = sent.finish(own.generation, result_json="7")
    assert not change.is_notified
    assert change.view is not None and change.view["result"] == 7
    assert sent.messages(B) == []


def test_end_of_many_bytes_is_not_in_the_message(sent: Bench, own: Registration) -> None:
    long = orjson.dumps("ü" * 450).decode()
    change = sent.finish(own.generation, result_json=long)
    assert not change.is_notified and change.view is not None
    assert sent.messages(B) == []


def test_end_of_as_many_bytes_as_a_message_may_have_is_in_it(
    sent: Bench, own: Registration
) -> None:
    assert sent.finish(own.generation, result_json=orjson.dumps("x" * 898).decode()).is_notified


def test_person_who_cancels_is_shown_the_command_and_its_waiter_is_notified(sent: Bench) -> None:
    change = sent.manager.cancel_command("d1", "c1")
    assert change.changed
    assert change.view is not None and change.view["status"] == "cancelled"
    assert [message["data"]["status"] for message in sent.messages(B)] == ["cancelled"]
    assert sent.told() == []


# --- amid faults


@pytest.fixture
def own_bench(own_server: RealServer) -> Iterator[Bench]:
    """Node B, on a server that the test may harm; the device is on node A."""
    with redis_factory(own_server.url)() as client:
        store = make_store(client, "own")
        made = Bench(store)
        made.generation = store.ownership.register("d1", node_id=A, sid="aaaa.1").generation
        yield made


def test_user_who_may_not_write_to_inboxes_stores_the_command_and_announces_it_otherwise(
    own_bench: Bench, own_server: RealServer
) -> None:
    """Within a script rights count too, and what it did before stays done (redis/redis#8370)."""
    rights = {"nopass": True, "keys": ["own:{*"], "commands": ["+@all"]}
    own_bench.redis.acl_setuser("weak", enabled=True, **rights)
    with redis_factory(own_server.url.replace("//", "//weak:x@"))() as client:
        own_bench.store = RedisSessionStore(client, own_bench.store.keys)
        own_bench.act_as(B)
        added = own_bench.command()
    assert (added.created, added.is_notified) == (True, False)
    assert own_bench.told() == [("notify", A, "deliver")]
    assert own_bench.messages(A) == []


def test_full_redis_neither_stores_half_a_command_nor_announces_one(own_bench: Bench) -> None:
    """redis/redis#8478: whether a script may write then depends on what it has written before."""
    own_bench.command()
    own_bench.act_as(A)
    taken = own_bench.store.commands.take("d1", own_bench.generation)
    own_bench.redis.config_set("maxmemory", 1)
    for refused in (
        lambda: own_bench.finish(own_bench.generation, result_json="7"),
        lambda: own_bench.manager.queue_command("d1", "go", command_id="c2"),
    ):
        with pytest.raises(errors.Overloaded):
            refused()
    assert len(taken) == 1
    assert (own_bench.messages(A), own_bench.messages(B)) == ([DELIVER], [])
    own_bench.redis.config_set("maxmemory", 0)
    assert own_bench.finish(own_bench.generation, result_json="7").is_notified
    assert [message["data"]["status"] for message in own_bench.messages(B)] == ["succeeded"]


def test_command_whose_lost_reply_is_repeated_at_a_full_redis_is_announced_otherwise(
    own_bench: Bench,
) -> None:
    lost = own_bench.lose_one_reply(lambda: own_bench.redis.config_set("maxmemory", 1))
    added = own_bench.command()
    own_bench.redis.config_set("maxmemory", 0)
    assert lost and (added.created, added.is_notified) == (True, False)
    assert own_bench.messages(A) == [DELIVER]
    assert own_bench.told() == [("notify", A, "deliver")]


def test_command_that_is_repeated_at_a_replica_that_took_over_is_found_though_its_message_is_dropped(
    own_bench: Bench,
) -> None:
    """As apache/pulsar#5218: the first one was read, and lost with the primary; the second has its number."""
    before = {key: own_bench.redis.dump(key) for key in own_bench.redis.keys("own:*")}
    read: list[Any] = []

    def fail_over() -> None:
        read.extend(own_bench.redis.xrange(own_bench.inbox(A))[1:])
        own_bench.redis.flushdb()
        for key, value in before.items():
            own_bench.redis.restore(key, 0, value)

    own_bench.lose_one_reply(fail_over)
    assert own_bench.command().created
    again = own_bench.redis.xrange(own_bench.inbox(A))[1:]
    assert [fields["n"] for _, fields in again] == [fields["n"] for _, fields in read]
    assert own_bench.store.ownership.renew(A)[0].pending == ["d1"], "every node.renew_s"
    assert len(own_bench.store.commands.take("d1", own_bench.generation)) == 1


# --- where scripts send nothing


def test_nothing_is_sent_before_replicas_have_what_it_is_about(
    client: redis.Redis, key_prefix: str
) -> None:
    assert not make_store(client, key_prefix, wait_replicas=1).runner.may_notify


def test_nothing_is_sent_by_scripts_where_there_are_several_partitions(
    client: redis.Redis, key_prefix: str
) -> None:
    store = make_store(client, key_prefix, partitions=2)
    own = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    bench = Bench(store)
    assert not bench.command().is_notified
    assert bench.told() == [("notify", A, "deliver")]
    bench.act_as(A)
    assert not bench.finish(own.generation).is_notified
    assert bench.messages(A) == bench.messages(B) == []
