"""Promises with a time, at their edges: of two runs that differ by one thing, the one keeps a promise."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.journal import Entry, Lost, NotRegistered, Received, Registered, Reported, SaidGoodbye
from chaos.simulation.checks import delivered, timed
from chaos.wishes import Answered, KickAsked, Kicked, Put, PutTaken, SetupSeen
from tests.unit.chaos.simulation.test_timed import (
    ID,
    LONG,
    OVERDUE,
    PUT,
    Check,
    answered,
    command,
    found,
    goodbye,
    ordered,
    received,
    report,
    seen,
    stay,
    timeline,
)

KICK = [KickAsked(5, ID, 1), Kicked(5.1, ID, 1, 5)]
#: Of another device, which keeps all.
OTHER: list[Entry] = [
    Registered(2.0, "other", "other", 1, 0, 0, True, False, 2.0),
    Put(3, "bo", "other", "o", None),
    PutTaken(3.1, "bo", "other", "o", 1, "o"),
    SetupSeen(3.2, "other", "other", 1, "o", -1),
    Kicked(40.1, "other", 1, 40),
    SaidGoodbye(41.0, "other", "other", 5, 5, 40.5),
]


def sees(at: float, version: int, who: str) -> Entry:
    return SetupSeen(at, ID, who, version, "m", -1)


def bye(left_at: float, last_seq: int = 4, who: str = "one") -> Entry:
    return SaidGoodbye(30.0, ID, who, 5, last_seq, left_at)


@pytest.mark.parametrize(
    ("check", "sound", "planted"),
    [
        # setups
        (timed.setups_arrive, [LONG, PUT, seen(7.0, 3)], [LONG, PUT, seen(7.11, 3)]),
        (timed.setups_arrive, [LONG, PUT, seen(7.0, 3)], [LONG, PUT, sees(7.0, 3, "two")]),
        (timed.setups_arrive, [LONG, PUT, seen(6, 2), seen(7, 3)], [LONG, PUT, seen(6, 2), seen(7, 2)]),
        (timed.setups_arrive, [stay("one", 2, 7.0), PUT], [stay("one", 2, 7.2), PUT]),
        (timed.setups_arrive, [stay("one", 5.0, 30), PUT], [stay("one", 4.9, 30), PUT]),
        (
            timed.setups_arrive,
            [stay("zero", 1.5, 3), LONG, PUT, seen(7, 3)],
            [stay("zero", 1.5, 3), LONG, PUT],
        ),
        (  # it had been taken over
            timed.setups_arrive,
            [LONG, stay("two", 6.9, 30), PUT],
            [LONG, stay("two", 7.2, 30), PUT],
        ),
        (  # it had been sent away, and its node not heard of it
            timed.setups_arrive,
            [LONG, KickAsked(3, ID, 1), PUT],
            [KickAsked(1.5, ID, 1), LONG, KickAsked(3, "other", 1), PUT],
        ),
        # acknowledged commands
        (
            timed.acks_count,
            [stay("one", 2, 8), answered(6.5), stay("one", 7.4, 20), received(10, asked_at=7.4)],
            [stay("one", 2, 8), answered(6.5), stay("one", 9, 20), received(10, asked_at=9)],
        ),
        (  # over the former connection, and read late
            timed.acks_count,
            [stay("one", 2, 8), answered(6.5), stay("one", 9, 20), received(10, asked_at=2)],
            [stay("one", 2, 8), answered(6.5), stay("one", 9, 20), received(10, asked_at=9)],
        ),
        (
            timed.acks_count,
            [stay("one", 2, 8), Answered(6.5, ID, "two", "c1", "ack"), received(10, asked_at=9)],
            [stay("zero", 1.5, 8), stay("one", 2, 8), answered(6.5), received(10, asked_at=9)],
        ),
        (
            timed.acks_count,
            [LONG, answered(6.5), stay("two", 9, 20), received(10, "one")],
            [LONG, answered(6.5), stay("two", 9, 20), received(10, "two", asked_at=9)],
        ),
        (  # the first answer counts
            timed.acks_count,
            [LONG, answered(7.6), stay("two", 8.5, 20), received(8.55, "two", asked_at=8.5)],
            [LONG, answered(3), answered(6.5), stay("two", 7, 20), received(8, "two", asked_at=7)],
        ),
        (
            timed.acks_count,
            [answered(6.5), received(10, "two", asked_at=9)],
            [LONG, answered(6.5), received(10, "two", asked_at=9)],
        ),
        # refused registers
        (
            timed.registered_again,
            [NotRegistered(0.9, ID, "one", 0.5)],
            [NotRegistered(0.9, ID, "one", 0.5), NotRegistered(20, ID, "one", 8)],
        ),
        # goodbyes
        (timed.goodbyes, [stay("one", 2, 12), bye(2)], [stay("one", 2, 12), bye(2.1)]),
        (timed.goodbyes, [stay("one", 2, 12), bye(12, who="two")], [stay("zero", 1.5, 3), stay("one", 2, 12), bye(12)]),
        (
            timed.goodbyes,
            [stay("one", 2, 12), stay("two", 12.9, 15), bye(12)],
            [stay("one", 2, 12), stay("two", 13.1, 15), bye(12)],
        ),
        (  # its own next connection says nothing
            timed.goodbyes,
            [stay("one", 2, 12), stay("a", 12.5, 15), bye(12)],
            [stay("one", 2, 12), stay("one", 12.5, 15), bye(12)],
        ),
        (timed.goodbyes, [stay("one", 2, 12), bye(12, 5)], [stay("one", 2, 12), bye(12, 5), bye(12)]),
        # who was sent away
        (timed.kicked_close, [stay("one", 2, 8.05), KICK], [stay("one", 2, 8.15), KICK]),
        (timed.kicked_close, [stay("one", 5.05, 20), KICK], [stay("one", 4.95, 20), KICK]),
        (timed.kicked_close, [LONG, stay("two", 4.9, 8), KICK], [LONG, stay("two", 6, 8), KICK]),
        (timed.kicked_close, [stay("zero", 1.5, 3), KICK], [stay("zero", 1.5, 3), LONG, KICK]),
        # devices without a socket
        (
            timed.overdue,
            [report(5), report(9.95)],
            [report(5), report(10.2)],
        ),
        (
            timed.overdue,
            [report(5), report(7), report(9)],
            [report(5), report(7), report(20)],
        ),
        (
            timed.overdue,
            [report(5), KickAsked(6, ID, 1.0), report(20)],
            [report(5), KickAsked(6, "other", 1.0), report(20)],
        ),
        (
            timed.overdue,
            [report(5), KickAsked(9.9, ID, 1.0), report(20)],
            [KickAsked(4, ID, 1.0), report(5), KickAsked(10.1, ID, 1.0), report(20)],
        ),
        (
            timed.overdue,
            [Reported(5, "a", "a", 5, 1.0), report(5), report(8)],
            [Reported(5, "a", "a", 5, 1.0), report(5), report(20)],
        ),
        (
            timed.overdue,
            [Reported(5, ID, ID, 4.9, 2.0), report(12.9)],
            [Reported(5, ID, ID, 4.9, 2.0), report(13.2)],
        ),
        # an order
        (
            delivered.once,
            [received(5), received(6), Received(7, "other", "c2", 1, 1, "x")],
            [received(5), received(6), Received(7, ID, "c2", 1, 1, "x")],
        ),
        (delivered.closed, [LONG, stay("two", 27.1, 40)], [LONG, stay("two", 26.9, 40)]),
        (  # answered in the other order: the later generation is that of the first answer
            delivered.closed,
            [LONG, Registered(2.1, ID, "two", 1900, 0, 0, True, False, 2), Lost(2.2, "two", "node 0", "done")],
            [LONG, Registered(2.1, ID, "two", 2100, 0, 0, True, False, 2), Lost(2.2, "two", "node 0", "done")],
        ),
        (delivered.reached, [LONG, ordered(), received(9.0)], [LONG, ordered(), received(9.05)]),
        (delivered.reached, [stay("one", 2, 8.9), ordered()], [stay("one", 2, 9.1), ordered()]),
        (  # over the former connection, and read late
            delivered.reached,
            [stay("one", 2, 8), ordered(), stay("one", 9, 30), received(10, asked_at=9)],
            [stay("one", 2, 8), ordered(), stay("one", 9, 30), received(10, asked_at=2)],
        ),
        (delivered.reached, [LONG, ordered(), answered(8.9)], [LONG, ordered(), answered(9.1)]),
    ],
)  # fmt: skip
def test_time_is_kept_to_its_edge_and_not_beyond(
    check: Check, sound: list[Any], planted: list[Any]
) -> None:
    assert not found(check, *sound)
    assert found(check, *planted)
    if check is not delivered.once:
        assert not found(check, *planted, faults=[(0.0, 100.0)])
    assert not found(check, OTHER, *sound)
    assert found(check, OTHER, *planted)


def test_fault_explains_only_what_it_overlaps() -> None:
    """Each promise in its own time: from what was asked to the moment by which it must have happened."""
    late: list[tuple[Check, list[Any], float, float]] = [
        (timed.setups_arrive, [LONG, PUT], 5.0, 7.1),
        (timed.kicked_close, [LONG, KICK], 5.0, 8.1),
        (timed.goodbyes, [stay("one", 2, 12), goodbye(4)], 11.0, 13.0),
        (timed.overdue, [report(5), report(20)], 5.0, 10.0),
        (timed.registered_again, [NotRegistered(20.0, ID, "one", 8.0)], 8.0, 20.0),
    ]
    for check, entries, since, until in late:
        assert found(check, *entries, faults=[(since - 0.5, since - 0.05), (until + 0.05, 99)])
        assert not found(check, *entries, faults=[(since - 0.5, since + 0.05)])
        assert not found(check, *entries, faults=[(until - 0.05, until + 0.5)])
    assert found(timed.commands_end, faults=[(4, 4.9), (8.2, 9)], **command(5, 8.1))
    assert not found(timed.commands_end, faults=[(4, 5.1)], **command(5, 8.1))
    assert not found(timed.commands_end, faults=[(7.9, 9)], **command(5, 8.1))


@pytest.mark.parametrize(
    ("reports", "at", "is_sound"),
    [
        ((5,), 7.86, True),  # asked for at 4.9, with three times 1 s: 0.05 s are not seen
        ((5,), 7.84, False),
        ((5, 7), 9.86, True),
        ((5, 7), 9.84, False),
        ((5, 8.5), 8.0, True),  # a report that came later says nothing of it
        ((6,), 5.0, True),  # before the first one
    ],
)
def test_device_is_overdue_three_times_its_interval_after_its_last_report(
    reports: tuple[float, ...], at: float, is_sound: bool
) -> None:
    entries = [report(when) for when in reports]
    assert found(timed.overdue, *entries, **timeline((at, *OVERDUE))) is not is_sound
    events = ((1.0, "connected", "x"), (40.0, *OVERDUE), (at, *OVERDUE))
    assert found(timed.overdue, *entries, **timeline(*events)) is not is_sound
