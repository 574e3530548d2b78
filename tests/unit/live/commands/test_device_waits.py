"""Requests of devices that wait: looks, ends and bounds, without Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service import errors
from service.live.commands.device_waits import LOOK_S, DeviceWaits
from service.sessions.store.devices import Reported, Wait
from service.tasks import ThreadTasks
from service.transport.addresses import Addresses

COMMAND = {"command_id": "c", "command": "go", "params": None, "attempt": 1}


class Flag:
    """An event: waiting moves the clock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        self._world.on_wait()
        if not self._is_set:
            self._world.now_s += timeout or 0
        return self._is_set


class World(ThreadTasks):
    """Tasks and a clock, and what Redis answers at each look."""

    def __init__(self, *answers: Any) -> None:
        self.now_s = 100.0
        self.looks: list[tuple[float, int, int]] = []
        self.answers = list(answers)
        self.messages: list[tuple[str, str, object]] = []
        self.on_wait: Callable[[], object] = lambda: None

    def event(self) -> Flag:
        return Flag(self)

    def notify(self, node_id: str, topic: str, data: object) -> None:
        self.messages.append((node_id, topic, data))

    def ask(self, *, wait: Wait, commands: int, at_least_ms: int) -> Reported:
        self.looks.append((self.now_s - 100, wait.left_ms, commands))
        answer = self.answers.pop(0) if self.answers else reported()
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Reported)
        return answer


def reported(*, former: str = "", connected: bool = False, commands: int = 0) -> Reported:
    return Reported(connected, 0, 1, 0, 0, 0, None, former, [], [COMMAND] * commands)


def waits(world: World, **options: Any) -> DeviceWaits:
    return DeviceWaits(
        world, "here", world.notify, Addresses(), monotonic=lambda: world.now_s, **options
    )


def wait(world: World, made: DeviceWaits, wait_s: float = 12, **options: Any) -> Reported:
    return made.wait("d1", "token", "127.0.0.1", wait_s, world.ask, **options)


def test_request_looks_again_and_again_until_its_time_is_over() -> None:
    world = World()
    assert wait(world, waits(world)).commands == []
    assert [at for at, _, _ in world.looks] == [0, LOOK_S, 2 * LOOK_S, 12]
    assert [left for _, left, _ in world.looks] == [12_000, 7000, 2000, 0]


@pytest.mark.parametrize("news", [{"commands": 1}, {"connected": True}])
def test_message_makes_it_look_at_once(news: dict[str, Any]) -> None:
    world = World(reported(), reported(**news))
    made = waits(world)
    world.on_wait = lambda: made.on_deliver({"session_id": "d1"})
    wait(world, made)
    assert [at for at, _, _ in world.looks] == [0, 0]
    assert made.count == 0


def test_request_of_a_client_that_has_hung_up_takes_no_command() -> None:
    world = World()
    wait(world, waits(world), is_gone=lambda: bool(world.looks))
    assert world.looks[-1] == (LOOK_S, 0, 0)


def test_outage_during_the_wait_is_waited_out_and_one_at_its_beginning_is_told() -> None:
    world = World(reported(), errors.StoreUnavailable(), reported(commands=1))
    assert len(wait(world, waits(world)).commands) == 1
    world = World(errors.StoreUnavailable())
    with pytest.raises(errors.StoreUnavailable):
        wait(world, waits(world))


def test_request_that_waited_before_is_notified_on_its_node() -> None:
    world = World(reported(former="there#4"))
    wait(world, waits(world))
    assert world.messages == [("there", "deliver", {"session_id": "d1"})]


def test_no_request_waits_on_a_machine_that_is_short_of_memory() -> None:
    with pytest.raises(errors.Overloaded):
        wait(World(), waits(World(), is_short=lambda: True))


def test_token_has_a_bound_and_its_place_is_free_again_afterwards() -> None:
    world = World()
    made = waits(world, per_token=1)

    def second() -> None:
        with pytest.raises(errors.Overloaded):
            made.wait("d2", "token", "127.0.0.1", 1, world.ask)
        made.wait("d2", "other", "127.0.0.1", 0, world.ask)

    world.on_wait = lambda: setattr(world, "on_wait", lambda: None) or second()
    wait(world, made)
    wait(world, made)
    assert (made.count, made._tokens, made._events) == (0, {}, {})
