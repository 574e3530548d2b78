"""A run of updates that was read in C is taken whole, or nothing of it is taken or counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from service.live.ingest.pending import cost_of_all
from service.native import Updates
from service.security.permissions import DEVICE, VIEWER, Identity
from service.sockets.call import Peer
from service.sockets.native_updates import EVENT, NativeUpdates
from service.sockets.rate_limits import Allowance, Limits

OWNER = object()
RUN = Updates(OWNER, {}, b"", [], 3, 3, 30, 60, 1, None, b"")


class Intake:
    """Takes what comes while it has room."""

    def __init__(self) -> None:
        self.is_full = False
        self.taken: list[tuple[Any, Updates]] = []

    def has_room(self, owner: Any, updates: Updates, cost: int) -> bool:
        assert (owner, cost) == (OWNER, cost_of_all(updates))
        return not self.is_full

    def add_all(self, owner: Any, updates: Updates, cost: int) -> None:
        assert cost == cost_of_all(updates)
        self.taken.append((owner, updates))


class Door:
    """One device's socket in front of an intake."""

    def __init__(self, role: str = DEVICE) -> None:
        self.peer = Peer("sid", "address", Identity(role, device="d"))
        self.peer.device = OWNER
        self.intake, self.counts = Intake(), Counter[str]()
        self.updates = NativeUpdates({"sid": self.peer}, self.intake, self.counts)  # type: ignore[arg-type]

    def allow(self, events: int, size: int) -> None:
        limits = Limits(events_per_s=events, bytes_per_s=size)
        self.peer.allowance = Allowance(limits, lambda seconds: None, lambda: 0.0)


@pytest.fixture
def door() -> Door:
    return Door()


def test_run_is_taken_whole_and_each_event_counted(door: Door) -> None:
    assert door.updates.take("sid", RUN)
    assert door.intake.taken == [(OWNER, RUN)]
    assert door.counts == {EVENT: 3}
    door.peer.allowed_events = None  # there is no login
    assert door.updates.take("sid", RUN)


@pytest.mark.parametrize(
    "change",
    [
        lambda door: setattr(door.peer, "busy", True),
        lambda door: setattr(door.peer, "device", object()),
        lambda door: setattr(door.peer, "allowed_events", frozenset({"register"})),
        lambda door: setattr(door.intake, "is_full", True),
        lambda door: door.allow(2, 1000),
        lambda door: door.allow(1000, 60),
    ],
    ids=["busy", "another owner", "another role", "no room", "too many events", "too many bytes"],
)
def test_of_a_run_with_one_doubt_nothing_is_taken_or_counted(door: Door, change: Any) -> None:
    change(door)
    assert not door.updates.take("sid", RUN)
    assert (door.intake.taken, door.counts) == ([], {})


def test_nothing_is_taken_of_who_is_gone_or_may_not_send_it(door: Door) -> None:
    assert not door.updates.take("other", RUN)
    assert not Door(VIEWER).updates.take("sid", RUN)


def test_what_was_taken_counts_against_what_the_socket_may_send(door: Door) -> None:
    door.allow(7, 1000)
    assert [door.updates.take("sid", RUN) for _ in range(3)] == [True, True, False]
    assert door.counts == {EVENT: 6}
