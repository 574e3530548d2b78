"""Commands at their edges: deadlines, the second of two, the last that fits, who may still speak."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service import errors
from service.sessions.model import NewCommand, Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store, part

A, B = "host-aaaa", "host-bbbb"


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, flapping_registers=0, max_queued=3)


@pytest.fixture
def own(store: RedisSessionStore) -> Registration:
    return store.ownership.register("d1", node_id=A, sid="aaaa.1")


def add(store: RedisSessionStore, command_id: str, **options: Any) -> Any:
    values = {"params_json": "{}", "ttl_ms": 60_000, **options}
    return store.commands.add("d1", NewCommand(command_id, "go", **values))


def due_in_ms(store: RedisSessionStore, command_id: str) -> float:
    deadline = store.runner.client.zscore(store.keys.commands_due(0), f"{command_id}:d1")
    assert deadline is not None
    return float(deadline) - store.now_ms()


def test_command_that_is_added_again_after_a_lost_reply_is_one_command(
    store: RedisSessionStore, own: Registration
) -> None:
    """Whatever became of it meanwhile: it is neither sent again nor counted again."""
    add(store, "c1")
    add(store, "c1")
    assert (store.index.get("d1") or {})["open_commands"] == "1"
    assert len(store.commands.take("d1", own.generation)) == 1
    store.commands.finish("d1", own.generation, "c1", ok=True)
    answer = add(store, "c1")
    assert answer.view["status"] == "succeeded"
    again = store.ownership.register("d1", node_id=B, sid="bbbb.1")
    assert store.commands.take("d1", again.generation) == []
    assert (store.index.get("d1") or {})["open_commands"] == "0"


def test_key_that_comes_with_another_request_is_refused(
    store: RedisSessionStore, own: Registration
) -> None:
    add(store, "c1", idempotency_key="k", digest="one")
    assert add(store, "c2", idempotency_key="k", digest="one").view["command_id"] == "c1"
    with pytest.raises(errors.IdempotencyMismatch):
        add(store, "c3", idempotency_key="k", digest="two")


def test_command_for_now_has_until_its_delivery_and_then_its_whole_time(
    store: RedisSessionStore, own: Registration
) -> None:
    """`ttl_s: 0`: not kept for later, but the device has its time for the result."""
    add(store, "now", now=True)
    add(store, "later")
    assert due_in_ms(store, "now") <= 5_000 < due_in_ms(store, "later")
    store.commands.take("d1", own.generation)
    store.commands.delivered("d1", own.generation, "now")
    assert 50_000 < due_in_ms(store, "now") <= 60_000


def test_commands_of_one_millisecond_keep_their_order(
    store: RedisSessionStore, own: Registration
) -> None:
    """And so do those that come after a clock that jumped back."""
    ahead = store.now_ms() + 60_000
    store.runner.client.hset(store.keys.session("d1"), "last_command", ahead)
    for command_id in ("z", "m", "a"):
        add(store, command_id)
    taken = store.commands.take("d1", own.generation)
    assert [one.change.command_id for one in taken] == ["z", "m", "a"]
    assert [one.position for one in taken] == [ahead + 1, ahead + 2, ahead + 3]


def test_queue_takes_as_many_as_it_may_and_no_more(
    store: RedisSessionStore, own: Registration
) -> None:
    for command_id in ("c1", "c2", "c3"):
        add(store, command_id)
    with pytest.raises(errors.Overloaded):
        add(store, "c4")


def test_take_goes_on_behind_the_last_and_repeats_what_was_not_answered(
    store: RedisSessionStore, own: Registration
) -> None:
    """Page by page; the same call again returns the same commands, of the same attempt."""
    for command_id in ("c1", "c2", "c3"):
        add(store, command_id)
    first = store.commands.take("d1", own.generation, 2)
    assert store.commands.take("d1", own.generation, 2) == first
    assert [(one.change.command_id, one.attempt) for one in first] == [("c1", 1), ("c2", 1)]
    rest = store.commands.take("d1", own.generation, 2, after=first[-1].position)
    assert [one.change.command_id for one in rest] == ["c3"]
    assert store.commands.take("d1", own.generation, 2, after=rest[-1].position) == []


def test_command_with_a_number_below_the_last_one_is_answered_again_after_a_lost_reply(
    store: RedisSessionStore, own: Registration
) -> None:
    """Redis has lost commands, and its clock is behind: the connection has had higher numbers."""
    after = store.now_ms() + 3_600_000
    add(store, "c1")
    [first] = store.commands.take("d1", own.generation, after=after)
    assert (first.change.command_id, first.position) == ("c1", after + 1)
    assert store.commands.take("d1", own.generation, after=after) == [first]
    assert store.commands.take("d1", own.generation, after=first.position) == []
    add(store, "c2")
    [later] = store.commands.take("d1", own.generation, after=first.position)
    assert later.position > first.position


def test_what_was_delivered_is_not_sent_over_the_next_connection(
    store: RedisSessionStore, own: Registration
) -> None:
    add(store, "c1")
    add(store, "c2")
    store.commands.take("d1", own.generation)
    store.commands.delivered("d1", own.generation, "c1")
    again = store.ownership.register("d1", node_id=B, sid="bbbb.1")
    assert again.undelivered == 1
    taken = store.commands.take("d1", again.generation)
    assert [(one.change.command_id, one.attempt) for one in taken] == [("c2", 2)]


def test_former_connection_takes_acks_and_ends_nothing(
    store: RedisSessionStore, own: Registration
) -> None:
    """Every writer is fenced, not only the one of samples."""
    add(store, "c1")
    store.commands.take("d1", own.generation)
    store.ownership.register("d1", node_id=B, sid="bbbb.1")
    before = store.runner.client.hgetall(store.keys.commands("d1"))
    assert store.commands.take("d1", own.generation) == []
    with pytest.raises(errors.StaleGeneration):
        store.commands.delivered("d1", own.generation, "c1")
    with pytest.raises(errors.StaleGeneration):
        store.commands.finish("d1", own.generation, "c1", ok=True)
    with pytest.raises(errors.StaleGeneration):
        store.setups.put("d1", b"1", generation=own.generation)
    with pytest.raises(errors.StaleGeneration):
        store.setups.reported("d1", own.generation, 1)
    store.ownership.touch(0, [("d1", own.generation, 77)], refresh=False)
    assert "last_ping" not in (store.index.get("d1") or {})
    assert store.runner.client.hgetall(store.keys.commands("d1")) == before


@pytest.mark.parametrize("step", [-1, 1])
def test_samples_of_any_other_generation_are_refused(
    store: RedisSessionStore, own: Registration, step: int
) -> None:
    """Also of a later one, which Redis does not know any more: its node reclaims first."""
    batch = [part("d1", own.generation + step, ("k", 1)), part("d1", own.generation, ("k", 2))]
    assert [one.word for one in store.samples.append(0, A, 1, batch)] == ["stale", "ok"]


def test_ended_command_stays_as_it_ended(store: RedisSessionStore, own: Registration) -> None:
    add(store, "c1")
    store.commands.take("d1", own.generation)
    store.commands.finish("d1", own.generation, "c1", ok=True, result_json="[1]")
    before = store.commands.get("d1", "c1")
    store.commands.finish("d1", own.generation, "c1", ok=False, error_json='{"code":"x"}')
    store.commands.delivered("d1", own.generation, "c1")
    store.commands.cancel("d1", "c1")
    assert store.commands.get("d1", "c1") == before


def test_deadline_that_was_left_behind_ends_no_command_again(
    store: RedisSessionStore, own: Registration
) -> None:
    store.commands.add("d1", NewCommand("c1", "go", "{}", 60_000))
    store.commands.cancel("d1", "c1")
    store.runner.client.zadd(store.keys.commands_due(0), {"c1:d1": 1})
    assert store.ownership.expire(0).commands == []
    assert (store.commands.get("d1", "c1") or {})["status"] == "cancelled"


def test_every_command_can_end_however_full_its_session_is(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    """Up to 512 bytes of result fit always; more only where there is room."""
    full = make_store(redis_client, key_prefix, max_bytes=2_000)
    own = full.ownership.register("d1", node_id=A, sid="aaaa.1")
    add(full, "c1")
    full.setups.put("d1", b'"' + b"x" * 1_500 + b'"')
    with pytest.raises(errors.TooLarge):
        full.commands.finish("d1", own.generation, "c1", ok=True, result_json=f'"{"x" * 511}"')
    done = full.commands.finish("d1", own.generation, "c1", ok=True, result_json=f'"{"x" * 510}"')
    assert done is not None
    assert done.status == "succeeded"
