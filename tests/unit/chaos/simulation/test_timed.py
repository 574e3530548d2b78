"""Promises with a time: each check cries out at what is late, early or missing, and not while a fault explains it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.evidence import Evidence
from chaos.journal import (
    CommandShown,
    Entry,
    Lost,
    NotRegistered,
    Received,
    Registered,
    Reported,
    SaidGoodbye,
)
from chaos.simulation.checks import delivered, registers, timed
from chaos.simulation.checks.course import Course
from chaos.wishes import (
    Answered,
    CancelAsked,
    CancelTaken,
    KickAsked,
    Kicked,
    Ordered,
    OrderTaken,
    Put,
    PutTaken,
    SetupSeen,
)

ID = "kiosk"
EPOCH_S = 1_800_000_000.0
Check = Callable[[Evidence, Course], list[str]]


def stay(who: str, began: float, ended: float) -> list[Entry]:
    return [
        Registered(began, ID, who, int(1000 * began), 0, 0, True, False, began),
        Lost(ended, who, "node 0", "done"),
    ]


def ordered(at: float = 5.0, ttl_s: float = 3600.0) -> list[Entry]:
    return [
        Ordered(at, "anna", ID, "anna-1", 1, ttl_s),
        OrderTaken(at, "anna", ID, "anna-1", "c1", "queued"),
    ]


def received(
    at: float, who: str = "one", command_id: str = "c1", *, asked_at: float = 2.0
) -> Entry:
    return Received(at, ID, command_id, 1, 1, who, asked_at)


def found(check: Check, *entries: Any, faults: Any = (), **state: Any) -> bool:
    flat = [one for entry in entries for one in (entry if isinstance(entry, list) else [entry])]
    evidence = Evidence(sorted(flat, key=lambda entry: entry.at), **state)
    return bool(check(evidence, Course(EPOCH_S, [(0.0, 1.0), *faults])))


def answered(at: float, what: str = "ack") -> Entry:
    return Answered(at, ID, "one", "c1", what)


def seen(at: float, version: int) -> Entry:
    return SetupSeen(at, ID, "one", version, "m", -1)


LONG = stay("one", 2.0, 30.0)
PUT = [Put(5, "bo", ID, "m", None), PutTaken(5.1, "bo", ID, "m", 3, "m")]


@pytest.mark.parametrize(
    ("check", "sound", "planted"),
    [
        (delivered.closed, [LONG, stay("two", 31, 40)], [LONG, stay("two", 20, 40)]),
        (delivered.closed, [stay("one", 2, 12), stay("two", 10, 20)], [stay("one", 2, 14), stay("two", 10, 20)]),
        (delivered.reached, [LONG, ordered(), received(8.9)], [LONG, ordered(), received(9.2)]),
        (delivered.reached, [LONG, ordered(), answered(6.0)], [LONG, ordered()]),
        (delivered.reached, [LONG, ordered(), CancelAsked(6.0, "anna", ID, "c1")], [LONG, ordered()]),
        (delivered.reached, [LONG, ordered(ttl_s=2.0)], [LONG, ordered(ttl_s=5.0)]),
        (
            delivered.reached,
            [LONG, ordered(), CommandShown(6.0, "wall", "c1", "expired")],
            [LONG, ordered(), CommandShown(6.0, "wall", "c1", "sent")],
        ),
        (  # without an ack it comes again, on the next connection
            delivered.reached,
            [stay("one", 2, 8), ordered(), received(6), stay("one", 9, 30), received(10, asked_at=9)],
            [stay("one", 2, 8), ordered(), received(6), stay("one", 9, 30)],
        ),
        (  # not to a connection that was taken over meanwhile
            delivered.reached,
            [LONG, stay("two", 7, 30), ordered(), received(8, "two", asked_at=7)],
            [LONG, stay("two", 7, 30), ordered(), received(8, "one")],
        ),
        (delivered.once, [received(5), received(6)], [received(5), received(6, command_id="c2")]),
        (
            timed.acks_count,
            [stay("one", 2, 8), answered(7.5), stay("one", 8.4, 20), received(10, asked_at=8.4)],
            [stay("one", 2, 8), answered(6.5), stay("one", 8.4, 20), received(10, asked_at=8.4)],
        ),
        (  # what travelled when it was answered
            timed.acks_count,
            [LONG, answered(6.5), received(10)],
            [stay("one", 2, 8), answered(6, "ok"), stay("two", 9, 20), received(10, "two", asked_at=9)],
        ),
        (
            timed.setups_arrive,
            [LONG, PUT, seen(7, 4)],
            [LONG, PUT, seen(7, 2)],
        ),
        (
            timed.setups_arrive,
            [stay("one", 5.05, 30), PUT],
            [LONG, PUT, seen(7.2, 3)],
        ),
        (
            timed.kicked_close,
            [stay("one", 2, 7), KickAsked(5, ID, 1), Kicked(5.1, ID, 1, 5)],
            [stay("one", 2, 9), KickAsked(5, ID, 1), Kicked(5.1, ID, 1, 5)],
        ),
        (
            timed.cancelled,
            [CancelTaken(5, "anna", ID, "c1", "cancelled"), received(5.9)],
            [CancelTaken(5, "anna", ID, "c1", "cancelled"), received(6.1)],
        ),
        (timed.kicked_close, [stay("one", 6, 20), Kicked(5.1, ID, 1, 5)], [LONG, Kicked(5.1, ID, 1, 5)]),
    ],
)  # fmt: skip
def test_check_tells_what_is_kept_from_what_is_not(
    check: Check, sound: list[Any], planted: list[Any]
) -> None:
    assert not found(check, *sound)
    assert found(check, *planted)
    assert not found(check, *planted, faults=[(0.0, 100.0)]) or check is delivered.once


def iso(at: float) -> str:
    return f"2027-01-15T08:00:{at:06.3f}+00:00"


def command(ends: float, ended: float) -> dict[str, Any]:
    row = {"command_id": "c1", "status": "expired", "ends_at": iso(ends), "updated_at": iso(ended)}
    return {"commands": {ID: [row]}}


def timeline(*events: tuple[float, str, str]) -> dict[str, Any]:
    rows = [{"at": iso(at), "event": event, "reason": reason} for at, event, reason in events]
    return {"sessions": {ID: {"timeline": rows}}}


def report(at: float) -> Entry:
    return Reported(at, ID, ID, at - 0.1, 1.0)


OVERDUE = ("inactive", "overdue")


@pytest.mark.parametrize(
    ("check", "entries", "sound", "planted"),
    [
        (timed.commands_end, [], command(5, 7.9), command(5, 8.1)),
        (registers.stay_connected, [], timeline((5, "inactive", "x")), timeline((5, "lease_expired", "x"))),
        (registers.stay_connected, LONG, timeline((30.5, "disconnected", "x")), timeline((20, "disconnected", "x"))),
        (
            registers.stay_connected,
            [*LONG, *stay("two", 10, 20)],
            timeline((10.5, "disconnected", "x")),
            timeline((15, "inactive", "idle")),
        ),
        (timed.overdue, [report(5)], timeline((8.0, *OVERDUE)), timeline((7.5, *OVERDUE))),
        (timed.overdue, [report(5), report(20)], timeline((8.5, *OVERDUE)), timeline()),
        (timed.overdue, [report(5), report(20)], timeline((9.9, *OVERDUE)), timeline((10.5, *OVERDUE))),
        (timed.overdue, [report(5), report(8)], timeline(), timeline((7.8, *OVERDUE))),
        (
            timed.overdue,
            [report(5), report(20)],
            timeline((8.5, *OVERDUE)),
            timeline((8.5, "inactive", "idle"), (9.0, "kicked", "overdue")),
        ),
        (
            timed.renewed,
            [],
            {"ttl_s": 36.0, "held_at": 30, "held_ttls": {"session:quiet": 24_000}},
            {"ttl_s": 36.0, "held_at": 30, "held_ttls": {"session:quiet": 23_000}},
        ),
        (  # in the aftermath of the beginning less is enough
            timed.renewed,
            [],
            {"ttl_s": 36.0, "held_at": 5, "held_ttls": {"session:quiet": 19_000}},
            {"ttl_s": 36.0, "held_at": 5, "held_ttls": {"session:quiet": 17_000}},
        ),
    ],
)  # fmt: skip
def test_check_tells_what_is_stored_in_time(
    check: Check, entries: list[Entry], sound: dict[str, Any], planted: dict[str, Any]
) -> None:
    assert not found(check, *entries, **sound)
    assert found(check, *entries, **planted)


def test_who_was_sent_away_is_not_overdue() -> None:
    assert not found(timed.overdue, report(5), KickAsked(6, ID, 1.0), report(20), **timeline())


def test_faults_explain_what_is_late_until_their_consequences_are_over() -> None:
    course = Course(EPOCH_S)
    course.add("node killed", 5.0, 6.0)
    course.add("messages lost", 20.0, 21.0)
    assert [course.is_calm(*times) for times in [(2, 4.9), (2, 5), (13.9, 14.5), (14.1, 15)]] == [
        True,
        False,
        False,
        True,
    ]
    assert [course.is_calm(*times) for times in [(20.5, 22), (21.1, 22)]] == [False, True]
    assert [round(course.calm_from(at), 2) for at in (0.5, 2, 5.5, 20.5)] == [1.0, 2.0, 14.0, 21.0]


def ended_as(status: str) -> dict[str, Any]:
    return {"commands": {ID: [{"command_id": "c1", "status": status}]}}


def test_command_that_its_device_ended_is_cancelled_only_in_the_same_moment() -> None:
    said = [*LONG, answered(6.0, "ok")]
    late, at_once = CancelAsked(7.5, "anna", ID, "c1"), CancelAsked(6.5, "anna", ID, "c1")
    assert found(timed.results_count, said, late, **ended_as("cancelled"))
    assert not found(timed.results_count, said, late, **ended_as("succeeded"))
    assert not found(timed.results_count, said, at_once, late, **ended_as("cancelled"))
    assert not found(timed.results_count, said, late, faults=[(6.2, 6.3)], **ended_as("cancelled"))
    only_acked = [*LONG, answered(6.0)]
    assert not found(timed.results_count, only_acked, late, **ended_as("cancelled"))
    of_a_former_socket = [*LONG, *stay("two", 6.5, 30), answered(6.0, "ok")]
    assert not found(timed.results_count, of_a_former_socket, late, **ended_as("cancelled"))


def goodbye(last_seq: int, left_at: float = 12.0) -> Entry:
    return SaidGoodbye(20.0, ID, "one", 5, last_seq, left_at)


def test_what_was_sent_before_a_goodbye_is_stored_unless_another_one_came() -> None:
    mine = stay("one", 2, 12)
    assert found(timed.goodbyes, mine, goodbye(4))
    assert not found(timed.goodbyes, mine, goodbye(5))
    assert not found(timed.goodbyes, mine, goodbye(4), faults=[(12.5, 13.0)])
    assert not found(timed.goodbyes, mine, stay("two", 12.5, 15), goodbye(4))
    assert not found(timed.goodbyes, stay("one", 2, 12), stay("two", 8, 15), goodbye(4))
    assert not found(timed.goodbyes, mine, goodbye(4, left_at=14.0))


def test_register_that_is_never_repeated_is_told_unless_a_fault_explains_it() -> None:
    waited = NotRegistered(20.0, ID, "one", 8.0)
    assert found(timed.registered_again, waited)
    assert not found(timed.registered_again, waited, faults=[(10, 11)])
