"""Delivery of commands over the real scripts: what is lost on the way is brought again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from service import errors
from service.sessions import model
from tests.support.nodes.nodes import Network, Node
from tests.support.nodes.stores import make_store
from tests.support.waiting import wait_until


@pytest.fixture
def node(redis_client: redis.Redis, key_prefix: str, redis_url: str) -> Iterator[Node]:
    store = make_store(redis_client, key_prefix, flapping_registers=0)
    network = Network()
    made = Node(store, redis_url, network)
    yield made
    network.close()


def pending(node: Node) -> list[str]:
    """The sessions of which the next renewal reports undelivered commands."""
    return [
        session_id
        for renewal in node.store.ownership.renew(node.node_id)
        for session_id in renewal.pending
    ]


def status_of(node: Node, command_id: str) -> str:
    return str(node.manager.get_command("d1", command_id)["status"])


def test_take_whose_reply_was_lost_is_reported_and_brought_again_in_order(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis marked them as sent, the node never heard: the next renewal brings them, first."""
    device = node.device("d1")
    wait_until(lambda: not node.delivery.is_sending("d1"))
    take, lost = node.store.commands.take, [True]

    def lossy(*words: Any) -> list[model.TakenCommand]:
        taken = take(*words)
        if taken and lost:
            lost.clear()
            raise errors.StoreUnavailable
        return taken

    monkeypatch.setattr(node.store.commands, "take", lossy)
    first = node.manager.queue_command("d1", "c1").command_id
    wait_until(lambda: not lost and not node.delivery.is_sending("d1"))
    assert status_of(node, first) == "sent"
    assert device.commands() == []
    assert pending(node) == ["d1"]
    node.manager.queue_command("d1", "c2")
    wait_until(lambda: len(device.commands()) == 2)
    assert [(sent["command"], sent["attempt"]) for sent in device.commands()] == [
        ("c1", 1),
        ("c2", 1),
    ]
    node.delivery.deliver("d1")  # as the next renewal does, which reports it still
    wait_until(lambda: pending(node) == [])


def test_deliver_message_lost_is_made_up_for_by_the_renewal(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is a hint; what counts is that the session stays reported."""
    device = node.device("d1")
    wait_until(lambda: not node.delivery.is_sending("d1"))
    monkeypatch.setattr(node.delivery, "on_deliver", lambda data: None)
    node.manager.queue_command("d1", "c1")
    assert pending(node) == ["d1"]
    node.delivery.deliver("d1")
    wait_until(device.commands)


def test_emptied_redis_does_not_hold_back_later_commands(
    node: Node, redis_client: redis.Redis
) -> None:
    """Redis forgot how many commands there were; the connection that stayed gets the new ones."""
    device = node.device("d1")
    node.manager.queue_command("d1", "c1")
    wait_until(lambda: len(device.commands()) == 1)
    wait_until(lambda: not node.delivery.is_sending("d1"))
    redis_client.delete(*redis_client.scan_iter(f"{node.store.keys.prefix}:*"))
    owned = node.owned.of("d1")
    assert owned is not None
    [(word, _)] = node.store.ownership.reclaim(owned.partition, node.node_id, [owned.holding()])
    assert word == "ok"
    node.manager.queue_command("d1", "c2")
    wait_until(lambda: [sent["command"] for sent in device.commands()] == ["c1", "c2"])


def test_redis_that_fell_back_while_its_clock_is_behind_holds_back_no_command(
    node: Node, redis_client: redis.Redis
) -> None:
    """A backup was restored: numbers that the connection has had are given to other commands."""
    keys = node.store.keys
    device = node.device("d1")
    redis_client.hset(keys.session("d1"), "last_command", node.store.now_ms() + 3_600_000)
    kinds = (keys.session, keys.commands, keys.commands_open)
    with redis_client.client() as raw:
        kept = [raw.execute_command("DUMP", kind("d1"), NEVER_DECODE=[]) for kind in kinds]
    for name in ("lost 1", "lost 2"):
        node.manager.queue_command("d1", name)
    wait_until(lambda: len(device.commands()) == 2 and not node.delivery.is_sending("d1"))
    for kind, state in zip(kinds, kept, strict=True):
        redis_client.delete(kind("d1"))
        if state is not None:
            redis_client.restore(kind("d1"), 0, state)

    names = ["c1", "c2", "c3"]
    for name in names:
        node.manager.queue_command("d1", name)

    wait_until(lambda: [sent["command"] for sent in device.commands()][2:] == names)
    node.delivery.deliver("d1")
    wait_until(lambda: not node.delivery.is_sending("d1"))
    assert len(device.commands()) == 5


def test_answer_over_a_connection_that_lost_the_session_changes_nothing(node: Node) -> None:
    """A late ack of the old socket does not end what the new socket is doing."""
    old = node.device("d1")
    command_id = node.manager.queue_command("d1", "c1").command_id
    wait_until(old.commands)
    new = node.device("d1")
    wait_until(new.commands)
    old.answer(command_id, {"ok": True})
    wait_until(lambda: node.delivery.answers.waiting == 0)
    assert status_of(node, command_id) == "sent"
    new.answer(command_id, {"ok": False})
    wait_until(lambda: status_of(node, command_id) == "failed")
