"""Commands at the store: their way, deadlines, bounds, and who is told."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service import errors
from service.manager.manager import SessionManager
from service.sessions.model import NewCommand, Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store
from tests.support.told import Told, notices, told
from tests.support.waiting import wait_until

A, B = "host-aaaa", "host-bbbb"


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


@pytest.mark.parametrize(
    ("answer", "is_told"),
    [
        ({"ok": True, "result_json": '{"x":[],"n":1.5}'}, True),
        ({"ok": False, "error_json": '{"code":"jammed"}'}, True),
        ({"ok": True}, True),
        ({"ok": True, "result_json": f'"{"x" * 2_000}"'}, False),
    ],
)
def test_who_waits_on_another_node_is_told_how_a_command_ended_unless_that_is_large(
    store: RedisSessionStore,
    manager: SessionManager,
    own: Registration,
    answer: dict[str, Any],
    is_told: bool,
) -> None:
    """With what was queued it is the command as it is in Redis."""
    queued = add(store, "c1", waiter=B).view
    store.commands.take("d1", own.generation)
    change = store.commands.finish("d1", own.generation, "c1", **answer)
    assert change is not None
    manager.notify_waiters([change])
    [message] = notices(manager)
    assert ("end" in message) == is_told
    if is_told:
        shown = {**queued, "status": message["status"], **message["end"]}
        assert shown == store.commands.get("d1", "c1")


def test_delivery_is_told_without_an_end(
    store: RedisSessionStore, manager: SessionManager, own: Registration
) -> None:
    add(store, "c1", waiter=B)
    store.commands.take("d1", own.generation)
    change = store.commands.delivered("d1", own.generation, "c1")
    assert change is not None
    manager.notify_waiters([change])
    assert notices(manager) == [{"session_id": "d1", "command_id": "c1", "status": "delivered"}]


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
