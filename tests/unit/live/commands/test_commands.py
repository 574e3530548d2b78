"""Delivery of commands and waiting for them, over a store and sockets in memory."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from service import errors
from service.live.commands import answers, delivery, waiters
from service.tasks import ThreadTasks
from tests.support.benches.commands import MemoryCommands, World
from tests.support.waiting import wait_until


@pytest.fixture
def world() -> World:
    return World()


def test_deliver_several_commands_are_sent_in_order_once(world: World) -> None:
    """More than one call's worth arrives in the order it was queued, each command once."""
    ids = [f"c{n}" for n in range(3 * delivery.TAKE_LIMIT + 1)]
    for command_id in ids:
        world.store.add(command_id)
    for _ in range(5):
        world.delivery.deliver("s")
    wait_until(lambda: len(world.sockets.asked) == len(ids))
    world.delivery.deliver("s")
    wait_until(lambda: not world.delivery.is_sending("s"))
    assert world.sockets.ids == ids


def test_deliver_commands_whose_numbers_are_not_in_order_are_sent_once(world: World) -> None:
    """Those that a connection passed over come first, with higher numbers than the others."""
    for command_id, number in {"c1": 4, "c2": 5, "c3": 3}.items():
        world.store.add(command_id)
        world.store.rows[command_id]["number"] = number
    for _ in range(2):
        world.delivery.deliver("s")
        wait_until(lambda: not world.delivery.is_sending("s"))
    assert world.sockets.ids == ["c1", "c2", "c3"]


def test_deliver_asked_again_while_sending_sends_the_newcomer(world: World) -> None:
    """A command that is queued just after the last look is not left lying."""
    world.store.add("c1")

    def arrives_late() -> None:
        world.sockets.on_request = lambda: None
        world.store.add("c2")
        world.delivery.deliver("s")

    world.sockets.on_request = arrives_late
    world.delivery.deliver("s")
    wait_until(lambda: world.sockets.ids == ["c1", "c2"])


def test_deliver_payload_has_id_params_and_attempt(world: World) -> None:
    """The device sees what design 6.1 promises, names with quotes included."""
    world.store.add("c1", params={"to": 'a"b', "n": [1, None]})
    world.store.rows["c1"]["command"] = 'say "hi"'
    world.delivery.deliver("s")
    wait_until(lambda: world.sockets.asked)
    assert world.sockets.asked[0] == {
        "sid": "socket-1",
        "command_id": "c1",
        "command": 'say "hi"',
        "params": {"to": 'a"b', "n": [1, None]},
        "attempt": 1,
    }


def test_deliver_after_reconnect_resends_unacked_in_order(world: World) -> None:
    """What was sent and not acked goes to the next connection first, with the next attempt."""
    world.store.add("c1")
    world.store.add("c2")
    world.delivery.deliver("s")
    wait_until(lambda: len(world.sockets.asked) == 2)
    world.sockets.acks[0]([])
    wait_until(lambda: world.store.status("c1") == "delivered")
    world.connect("socket-2", 2)
    world.store.add("c3")
    world.delivery.deliver("s")
    wait_until(lambda: len(world.sockets.asked) == 4)
    resent = world.sockets.asked[2:]
    assert [(a["sid"], a["command_id"], a["attempt"]) for a in resent] == [
        ("socket-2", "c2", 2),
        ("socket-2", "c3", 1),
    ]


def test_deliver_take_whose_reply_was_lost_sends_the_same_commands(world: World) -> None:
    """Commands marked as sent in a call that got no reply are emitted by the next one."""
    world.store.add("c1")
    world.store.take("s", 1)  # ran in Redis, the reply never came
    world.store.add("c2")
    world.delivery.deliver("s")
    wait_until(lambda: len(world.sockets.asked) == 2)
    assert [(a["command_id"], a["attempt"]) for a in world.sockets.asked] == [("c1", 1), ("c2", 1)]


def test_deliver_store_away_sends_at_the_next_call(world: World) -> None:
    """An outage ends the attempt; the next renewal's report brings the command."""
    world.store.add("c1")
    world.store.failures.append(errors.StoreUnavailable())
    world.delivery.deliver("s")
    wait_until(lambda: world.store.calls == ["take"] and not world.delivery.is_sending("s"))
    assert world.sockets.asked == []
    world.delivery.deliver("s")
    wait_until(lambda: world.sockets.ids == ["c1"])


def test_deliver_odd_error_ends_that_attempt_only(world: World) -> None:
    """Whatever the first one ran into, the next call sends what waits."""
    world.store.add("c1")
    world.store.failures.append(RuntimeError("odd"))
    world.delivery.deliver("s")
    wait_until(lambda: world.store.calls == ["take"] and not world.delivery.is_sending("s"))
    world.delivery.deliver("s")
    wait_until(lambda: world.sockets.ids == ["c1"])


def test_deliver_unknown_session_sends_nothing(world: World) -> None:
    """A message that came after the device left is harmless."""
    world.owned = None
    world.delivery.on_deliver({"session_id": "s"})
    world.delivery.on_deliver({"session_id": 7})
    world.delivery.on_deliver(None)
    wait_until(lambda: not world.delivery.is_sending("s"))
    assert world.store.calls == []


def test_deliver_slow_device_waits_outside_its_buffer(world: World) -> None:
    """While the device has a backlog nothing is added to it, and a takeover ends the wait."""
    world.store.add("c1")
    world.sockets.backlog = delivery.MAX_BACKLOG_BYTES + 1
    world.delivery.deliver("s")
    wait_until(lambda: world.store.calls == ["take"])
    assert world.sockets.asked == []
    world.connect("socket-2", 2)
    world.sockets.backlog = 0
    world.delivery.deliver("s")
    wait_until(lambda: world.sockets.asked)
    wait_until(lambda: not world.delivery.is_sending("s"))
    assert [(a["sid"], a["command_id"]) for a in world.sockets.asked] == [("socket-2", "c1")]


@pytest.mark.parametrize(
    ("arguments", "status", "result", "error"),
    [
        ([], "delivered", None, None),
        (["got it"], "delivered", None, None),
        ([None], "delivered", None, None),
        ([{"received": True}], "delivered", None, None),
        ([{"ok": True}], "succeeded", "", ""),
        ([{"ok": True, "result": {"v": [1, "ü"]}}], "succeeded", '{"v":[1,"ü"]}', ""),
        ([{"ok": False, "error": "broken"}], "failed", "", '"broken"'),
        ([{"ok": True, "result": 0}], "succeeded", "0", ""),
    ],
)
def test_ack_of_each_kind_becomes_its_status(
    world: World, arguments: list[Any], status: str, result: str | None, error: str | None
) -> None:
    """Any ack is a delivery; one with a boolean `ok` ends the command."""
    world.store.add("c1", waiter="node-b")
    world.delivery.deliver("s")
    wait_until(lambda: world.sockets.acks)
    world.sockets.acks[0](arguments)
    wait_until(lambda: world.store.status("c1") == status)
    assert world.store.rows["c1"].get("result") == result
    assert world.store.rows["c1"].get("error") == error
    wait_until(lambda: world.told)
    assert [(change.waiter, change.status) for change in world.told] == [("node-b", status)]


@pytest.mark.parametrize(
    "arguments",
    [
        errors.InvalidRequest("It is no JSON."),
        [{"ok": "yes"}],
        [{"ok": None}],
        [{"result": 7}],
        [{"error": "jammed"}],
        [{"ok": True}, 2],
        [None, {"ok": True}],
    ],
)
def test_ack_that_cannot_be_understood_fails_the_command_at_once(
    world: World, arguments: list[Any] | errors.ServiceError
) -> None:
    """Nothing better will come: who waits is told now, not when the command times out."""
    world.store.add("c1", waiter="node-b")
    world.delivery.deliver("s")
    wait_until(lambda: world.sockets.acks)
    world.sockets.acks[0](arguments)
    wait_until(lambda: world.told)
    assert [(change.waiter, change.status) for change in world.told] == [("node-b", "failed")]
    assert world.store.rows["c1"]["result"] == ""
    assert json.loads(world.store.rows["c1"]["error"])["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("result", "code"),
    [("x" * 70_000, "too_large"), (float("nan"), "invalid_request"), ({}, "invalid_request")],
    ids=["long", "nan", "deep"],
)
def test_ack_with_a_result_that_cannot_be_kept_still_ends_the_command(
    world: World, result: Any, code: str
) -> None:
    """The device did it: the status says so, and the error says why the result is missing."""
    if isinstance(result, dict):
        for _ in range(40):
            result = [result]
    world.store.add("c1")
    world.delivery.deliver("s")
    wait_until(lambda: world.sockets.acks)
    world.sockets.acks[0]([{"ok": True, "result": result}])
    wait_until(lambda: world.store.status("c1") == "succeeded")
    assert world.store.rows["c1"]["result"] == ""
    assert json.loads(world.store.rows["c1"]["error"])["code"] == code


def test_ack_while_redis_is_away_is_recorded_when_it_is_back(world: World) -> None:
    """Answers wait for Redis, in order; one that fails for another reason holds up nobody."""
    for command_id in ("c1", "c2", "c3"):
        world.store.add(command_id)
    world.delivery.deliver("s")
    wait_until(lambda: len(world.sockets.acks) == 3)
    wait_until(lambda: not world.delivery.is_sending("s"))
    world.store.calls.clear()
    world.store.failures += [errors.StoreUnavailable(), RuntimeError("a defect")]
    for ack in world.sockets.acks:
        ack([{"ok": True}])
    wait_until(lambda: world.store.status("c3") == "succeeded")
    assert world.store.status("c2") == "succeeded"
    assert world.store.status("c1") == "sent"
    wait_until(lambda: world.delivery.answers.waiting == 0)


def test_ack_above_the_bound_is_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for Redis is bounded: the answer goes, the command stays open."""
    monkeypatch.setattr(answers, "MAX_ANSWER_BYTES", 10)
    world.store.add("c1")
    world.delivery.deliver("s")
    wait_until(lambda: world.sockets.acks)
    world.sockets.acks[0]([{"ok": True, "result": "longer than ten"}])
    assert world.delivery.answers.waiting == 0
    assert world.store.status("c1") == "sent"


def test_finish_twice_changes_once(world: World) -> None:
    """A repeated result changes nothing, and an unknown command is None."""
    world.store.add("c1", waiter="node-b")
    world.store.take("s", 1)
    first = world.delivery.finish(world.owned, "c1", True, "1", "")
    again = world.delivery.finish(world.owned, "c1", False, "", '"no"')
    assert first is not None and first.changed and first.status == "succeeded"
    assert again is not None and not again.changed and again.status == "succeeded"
    assert world.delivery.finish(world.owned, "unknown", True, "", "") is None


QUEUED = {"command_id": "c1", "command": "go", "status": "queued"}
DELIVERED = {**QUEUED, "status": "delivered"}


def test_wait_reached_already_answers_at_once() -> None:
    """A command that was delivered before the wait began is not waited for, nor asked for again."""
    store = MemoryCommands()
    waiting = waiters.CommandWaiters(store, ThreadTasks())
    assert waiting.wait("s", DELIVERED, "delivered", 5.0) == DELIVERED
    assert store.calls == []


def test_wait_message_of_another_node_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The `command` message ends the wait long before the next look into Redis."""
    store = MemoryCommands()
    store.add("c1")
    monkeypatch.setattr(waiters, "FIRST_LOOK_S", 60.0)
    waiting = waiters.CommandWaiters(store, ThreadTasks(), poll_s=60.0)
    got: list[Any] = []
    task = threading.Thread(target=lambda: got.append(waiting.wait("s", QUEUED, "result", 30.0)))
    task.start()
    wait_until(lambda: waiting.count == 1)
    waiting.on_command({"command_id": "c1", "status": "delivered"})  # not what it waits for
    store.rows["c1"]["status"] = "failed"
    waiting.on_command({"command_id": "c1", "status": "failed"})
    task.join(60)
    assert got[0]["status"] == "failed"
    assert store.calls == ["get"]
    assert waiting.count == 0


def test_wait_lost_message_is_found_by_looking() -> None:
    """Without any message the poll ends the wait; an outage on the way does not."""
    store = MemoryCommands()
    store.add("c1")
    store.failures.append(errors.StoreUnavailable())
    waiting = waiters.CommandWaiters(store, ThreadTasks(), poll_s=0.02)
    got: list[Any] = []
    task = threading.Thread(target=lambda: got.append(waiting.wait("s", QUEUED, "result", 30.0)))
    task.start()
    wait_until(lambda: len(store.calls) >= 2)
    store.rows["c1"]["status"] = "expired"
    task.join(60)
    assert got[0]["status"] == "expired"


def test_wait_too_long_raises_and_leaves_nothing() -> None:
    """After `timeout_s` the caller is told, with the command's id; nothing stays behind."""
    store = MemoryCommands()
    store.add("c1")
    waiting = waiters.CommandWaiters(store, ThreadTasks(), poll_s=0.01)
    with pytest.raises(errors.CommandTimeout) as caught:
        waiting.wait("s", QUEUED, "result", 0.05)
    assert caught.value.fields == {"command_id": "c1"}
    assert waiting.count == 0
    assert store.status("c1") == "queued"


def test_wait_deleted_session_counts_as_cancelled() -> None:
    """A command that went with its session is over."""
    waiting = waiters.CommandWaiters(MemoryCommands(), ThreadTasks())
    command = waiting.wait("s", QUEUED, "result", 5.0)
    assert command == {**QUEUED, "status": "cancelled"}
