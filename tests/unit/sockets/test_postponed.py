"""Registers that were refused for now: repeated when it helps, as long as it takes, the latest of each socket."""

from __future__ import annotations

import pytest

from service import errors
from service.errors import ServiceError
from service.sockets.call import Peer
from service.sockets.postponed import LAST_PAUSE_S, Postponed, PostponedRegisters
from tests.support.nodes.live_fakes import SimulatedTasks


class Bench:
    """Registers that fail with an error until it is None."""

    def __init__(self) -> None:
        self.tasks = SimulatedTasks()
        self.error: ServiceError | None = errors.StoreUnavailable()
        self.times: list[float] = []
        self.payloads: list[object] = []
        self.registers = PostponedRegisters(self.tasks, self.repeat, self.tasks.monotonic)

    def repeat(self, one: Postponed) -> None:
        self.times.append(self.tasks.now)
        self.payloads.append(one.payload)
        if self.error is not None:
            self.registers.add(one.peer, one.payload, self.error)
        else:
            one.peer.postponed = None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_register_is_repeated_ever_more_rarely_until_it_succeeds(bench: Bench) -> None:
    payload = {"device_id": "d1"}
    bench.registers.add(Peer("s1", "a"), payload, errors.StoreUnavailable())
    bench.tasks.run(200)
    gaps = [later - before for before, later in zip(bench.times, bench.times[1:], strict=False)]
    assert 18 <= len(bench.times) <= 45
    assert max(gaps) <= LAST_PAUSE_S + 0.3
    assert min(gaps[4:]) >= LAST_PAUSE_S / 2
    bench.error = None
    bench.tasks.run(20)
    bench.times.clear()
    bench.tasks.run(100)
    assert bench.times == []


def test_register_is_repeated_when_it_was_told_to_come_again(bench: Bench) -> None:
    """Not before, however long that is; and another one's time changes nothing about it."""
    began, bench.error = bench.tasks.now, None
    far, near = {"device_id": "far"}, {"device_id": "near"}
    bench.registers.add(Peer("s1", "a"), far, errors.Flapping(retry_after_s=30))
    bench.registers.add(Peer("s2", "a"), near, errors.Flapping(retry_after_s=3))
    bench.tasks.run(60)
    assert bench.payloads == [near, far]
    assert [3 <= bench.times[0] - began <= 3.6, 30 <= bench.times[1] - began <= 30.6] == [True] * 2


def test_only_the_latest_register_of_a_socket_is_repeated(bench: Bench) -> None:
    peer, bench.error = Peer("s1", "a"), None
    first, second = {"device_id": "d1"}, {"device_id": "d1"}
    bench.registers.add(peer, first, errors.Flapping(retry_after_s=2))
    bench.registers.add(peer, second, errors.Flapping(retry_after_s=4))
    bench.tasks.run(10)
    assert len(bench.payloads) == 1
    assert bench.payloads[0] is second


@pytest.mark.parametrize("why", ["closed", "final", "draining", "registered itself"])
def test_register_that_cannot_help_is_not_repeated(bench: Bench, why: str) -> None:
    peer = Peer("s1", "a")
    peer.closed = why == "closed"
    error = {"final": errors.NotAllowed(), "draining": errors.Draining()}.get(
        why, errors.StoreUnavailable()
    )
    bench.registers.add(peer, {}, error)
    if why == "registered itself":
        peer.postponed = None
    bench.tasks.run(60)
    assert bench.times == []


def test_socket_that_closes_meanwhile_is_forgotten(bench: Bench) -> None:
    peer = Peer("s1", "a")
    bench.registers.add(peer, {}, errors.StoreUnavailable())
    bench.tasks.run(3)
    peer.closed = True
    bench.times.clear()
    bench.tasks.run(60)
    assert bench.times == []
    assert bench.tasks.count == 0
