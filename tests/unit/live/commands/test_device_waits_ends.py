"""Requests of devices that wait: how many, and what they are told when their node goes away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service import errors
from service.live.commands import device_waits as module
from service.live.commands.device_waits import DeviceWaits
from tests.unit.live.commands.test_device_waits import World, reported, wait


class Rooms:
    """Addresses with room for so many."""

    def __init__(self, room: int) -> None:
        self.room = room

    def has_room(self, address: str) -> bool:
        return self.room > 0

    def enter(self, address: str) -> Callable[[], None]:
        self.room -= 1
        return lambda: setattr(self, "room", self.room + 1)


def waits(world: World, room: int = 10, **options: Any) -> tuple[DeviceWaits, Rooms]:
    rooms = Rooms(room)
    made = DeviceWaits(world, "here", world.notify, rooms, monotonic=lambda: world.now_s, **options)
    return made, rooms


def while_one_waits(world: World, made: DeviceWaits, act: Callable[[], object]) -> None:
    def once() -> None:
        world.on_wait = lambda: None
        act()

    world.on_wait = once
    wait(world, made)


@pytest.mark.parametrize("bound", ["of the node", "of its address"])
def test_requests_are_bounded_and_places_are_free_again(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(module, "MAX_WAITS", 1 if bound == "of the node" else 10)
    world = World()
    made, rooms = waits(world, room=1 if bound == "of its address" else 10)

    def second() -> None:
        with pytest.raises(errors.Overloaded):
            made.wait("d2", "other", "127.0.0.1", 1, world.ask)

    while_one_waits(world, made, second)
    wait(world, made)
    assert made.count == 0
    assert rooms.room == (1 if bound == "of its address" else 10)


def test_request_that_waits_while_its_node_goes_away_is_told_so_and_none_begins() -> None:
    world = World()
    made, _ = waits(world)
    with pytest.raises(errors.Draining):
        while_one_waits(world, made, made.end)
    looks = len(world.looks)
    assert world.looks[-1][1] == 0  # which takes its note away
    with pytest.raises(errors.Draining):
        wait(world, made)
    assert len(world.looks) == looks


def test_command_that_came_at_the_last_moment_is_handed_out_all_the_same() -> None:
    world = World(reported(), reported(commands=1))
    made, _ = waits(world)
    world.on_wait = made.end
    assert len(wait(world, made).commands) == 1


def test_outage_at_the_end_of_a_wait_is_told() -> None:
    world = World(reported(), errors.StoreUnavailable(), errors.StoreUnavailable())
    made, _ = waits(world)
    with pytest.raises(errors.StoreUnavailable):
        wait(world, made, wait_s=7)
