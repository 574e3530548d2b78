"""Budgets of devices without a socket: the buckets that sockets have."""

from __future__ import annotations

import pytest

from service.errors import RateLimited
from service.node.admission import device_budgets as module
from service.node.admission.device_budgets import DeviceBudgets
from service.security.permissions import DEVICE, Identity
from service.sockets.rate_limits import Allowance, Limits, RateLimiter

TOKEN = Identity(DEVICE, prefix="d-", token_id="t")


class World:
    def __init__(self, **limits: float) -> None:
        self.now_s = 100.0
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self.limiter = RateLimiter(self.limits, lambda sid, seconds: None, self.monotonic)
        self.sockets: dict[str, Allowance] = {}
        self.budgets = DeviceBudgets(self.limits, self.limiter, self.sockets.get, self.monotonic)

    def monotonic(self) -> float:
        return self.now_s

    def passes(self, session_id: str = "d-1", size: int = 0) -> bool:
        try:
            self.budgets.charge(TOKEN, "127.0.0.1", session_id, size)
        except RateLimited as error:
            assert error.fields["retry_after_s"] > 0
            return False
        return True


def test_bytes_of_bodies_count() -> None:
    world = World(bytes_per_s=100)
    assert world.passes(size=150)
    assert not world.passes()
    assert world.passes("d-2")
    world.now_s += 1
    assert world.passes()


def test_device_that_continues_is_refused_for_a_while_and_owes_no_more_for_it() -> None:
    world = World(events_per_s=2)
    assert [world.passes() for _ in range(100)].count(True) == 2
    world.now_s += 3
    assert world.passes()


def test_device_with_a_socket_pays_from_what_that_may_send() -> None:
    world = World(events_per_s=2)
    world.sockets["d-1"] = Allowance(world.limits, lambda seconds: None, world.monotonic)
    assert [world.sockets["d-1"].passes(1), world.passes(), world.passes()] == [True, True, False]


def test_sessions_of_a_token_count_as_if_they_had_registered() -> None:
    world = World(sessions_per_token=2)
    assert [world.passes(f"d-{i}") for i in (1, 2, 1, 3)] == [True, True, True, False]
    world.now_s += 3600
    assert world.passes("d-3")


def test_of_too_many_devices_those_are_forgotten_that_did_not_report_for_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_DEVICES", 4)
    world = World(events_per_s=1)
    assert world.passes("d-busy")
    assert [world.passes(f"d-{i}") for i in range(3)] == [True] * 3
    assert not world.passes("d-busy")
    for i in range(3):
        assert world.passes(f"d-new-{i}")
        assert len(world.budgets._buckets) == 4
    assert not world.passes("d-busy")
    assert world.passes("d-0")  # which was full again long before


def test_device_that_is_far_beyond_is_refused_without_a_look_at_what_it_sends() -> None:
    """So its debt grows no more, whatever it sends."""
    world = World(bytes_per_s=100)
    assert world.passes(size=1_000)
    assert not world.passes()
    for _ in range(50):
        assert not world.passes(size=1_000_000)
    world.now_s += 30
    assert world.passes()
