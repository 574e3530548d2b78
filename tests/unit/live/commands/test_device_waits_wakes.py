"""Who wakes a request that waits: messages at any moment, and the device's next request on this node or another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service import errors
from service.live.commands.device_waits import LOOK_S, PRESENT_MS
from service.sessions.store.devices import Reported
from tests.unit.live.commands.test_device_waits import World, reported, wait, waits


def once(world: World, do: Callable[[], object]) -> None:
    """Have it done as soon as a request waits, before anything else wakes it."""

    def first() -> None:
        world.on_wait = lambda: None
        do()

    world.on_wait = first


def test_message_that_comes_while_redis_answers_is_heard() -> None:
    """The command was queued behind the look: without the message it would lie for the time of a pause."""
    world = World(reported(), reported(commands=1))
    made = waits(world)
    look = world.ask

    def ask(**given: Any) -> Reported:
        answer = look(**given)
        made.on_deliver({"session_id": "d1"})
        return answer

    found = made.wait("d1", "token", "127.0.0.1", 12, ask)
    assert len(found.commands) == 1
    assert [at for at, _, _ in world.looks] == [0, 0]


def test_request_waits_although_the_former_one_cannot_be_notified() -> None:
    class Away(World):
        def notify(self, node_id: str, topic: str, data: object) -> None:
            raise errors.StoreUnavailable

    world = Away(reported(former="there#4"), reported(commands=1))
    assert len(wait(world, waits(world)).commands) == 1


def test_former_request_on_this_node_looks_at_once_and_ends() -> None:
    world = World(reported(), reported(former="here#1", commands=1), errors.Conflict())
    made = waits(world)
    once(world, lambda: wait(world, made))
    with pytest.raises(errors.Conflict):
        wait(world, made)
    assert [at for at, _, _ in world.looks] == [0, 0, 0]
    assert world.messages == []


def test_message_wakes_every_request_of_its_session() -> None:
    world = World(reported(), reported(), reported(commands=1), reported(commands=1))
    made = waits(world)

    def another() -> None:
        once(world, lambda: made.on_deliver({"session_id": "d1"}))
        wait(world, made)

    once(world, another)
    wait(world, made)
    assert [at for at, _, _ in world.looks] == [0, 0, 0, 0]


def test_request_is_woken_also_after_another_of_its_session_has_ended() -> None:
    world = World(reported(), reported(commands=1), reported(commands=1))
    made = waits(world)

    def another() -> None:
        wait(world, made)
        made.on_deliver({"session_id": "d1"})

    once(world, another)
    wait(world, made)
    assert [at for at, _, _ in world.looks] == [0, 0, 0]
    assert made.count == 0


def test_device_counts_as_there_for_as_long_as_its_request_waits() -> None:
    world = World()
    there: list[int] = []

    def ask(*, at_least_ms: int, **given: Any) -> Reported:
        there.append(at_least_ms)
        return world.ask(at_least_ms=at_least_ms, **given)

    waits(world).wait("d1", "token", "127.0.0.1", LOOK_S, ask)
    assert there == [PRESENT_MS, 0]
