"""Registers that are refused, former sockets, visits: each check cries out at what is too long, too short, too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.evidence import Evidence
from chaos.journal import Entry, Insisted, Lost, Refused, RegisterAsked, Registered
from chaos.simulation.checks import registers, visits
from chaos.simulation.checks.course import Course
from chaos.simulation.checks.registers import MOST, WINDOW_S
from chaos.wishes import JoinAsked, Joined, KickAsked, Kicked, VisitOver

ID = "kiosk"
EPOCH_S = 1_800_000_000.0
Check = Callable[[Evidence, Course], list[str]]


def found(check: Check, entries: list[Entry], faults: Any = (), **state: Any) -> list[str]:
    evidence = Evidence(sorted(entries, key=lambda entry: entry.at), **state)
    return check(evidence, Course(EPOCH_S, [(0.0, 1.0), *faults]))


def registered(at: float, who: str = "one") -> Entry:
    return Registered(at, ID, who, int(1000 * at), 0, 0, True, False, at)


def iso(at: float) -> str:
    return f"2027-01-15T08:00:{at:06.3f}+00:00"


def connected(*times: float, reason: str = "") -> dict[str, Any]:
    events = [{"at": iso(at), "event": "connected", "reason": reason} for at in times]
    return {"sessions": {ID: {"timeline": events}}}


def test_no_id_registers_more_often_than_is_allowed_within_any_window() -> None:
    early = [registered(5.0 + n / 10) for n in range(MOST)]
    assert not found(registers.not_too_often, [*early, registered(5.0 + WINDOW_S)])
    assert found(registers.not_too_often, [*early, registered(4.95 + WINDOW_S)])
    # Its own register again is none more.
    assert not found(registers.not_too_often, [*early, *early])


def test_a_register_is_refused_as_too_often_only_where_so_many_were_accepted() -> None:
    accepted = [20.0 + n / 10 for n in range(MOST)]
    asked = RegisterAsked(21.0, ID, "one", 21.0)
    refused = Refused(21.1, "one", "register", "flapping", True, WINDOW_S)
    entries: list[Entry] = [asked, refused]
    assert not found(registers.not_too_often, entries, **connected(*accepted))
    assert found(registers.not_too_often, entries, **connected(*accepted[1:]))
    assert found(registers.not_too_often, entries, **connected(16.9, *accepted[1:]))
    reclaimed = connected(*accepted, reason="reclaimed")
    assert found(registers.not_too_often, entries, **reclaimed)
    too_long = Refused(21.1, "one", "register", "flapping", True, WINDOW_S + 0.1)
    assert found(registers.not_too_often, [asked, too_long], **connected(*accepted))


@pytest.mark.parametrize(
    ("at", "left_s", "is_kept"), [(6.0, 1.0, True), (7.9, 0.1, True), (8.2, 0.1, False), (6.0, 2.2, False)]
)  # fmt: skip
def test_who_was_sent_away_is_refused_until_then_and_no_longer(
    at: float, left_s: float, is_kept: bool
) -> None:
    kick = [KickAsked(5.0, ID, 2.0), Kicked(5.1, ID, 2.0, 5.0)]
    ask = RegisterAsked(at, ID, "one", at)
    refused = Refused(at, "one", "register", "rate_limited", True, left_s)
    assert bool(found(registers.away_as_long, [*kick, ask, refused])) is not is_kept
    assert not found(registers.away_as_long, [*kick, ask, refused], faults=[(at - 0.5, at)])
    of_another = [KickAsked(5.0, "other", 2.0), Kicked(5.1, "other", 2.0, 5.0)]
    assert found(registers.away_as_long, [*of_another, ask, refused])


def test_a_kick_without_an_answer_may_have_come_when_the_fault_was_over() -> None:
    kick = KickAsked(5.0, ID, 2.0)
    ask = RegisterAsked(10.5, ID, "one", 10.5)
    refused = Refused(10.6, "one", "register", "rate_limited", True, 0.5)
    assert found(registers.away_as_long, [kick, ask, refused])
    assert not found(registers.away_as_long, [kick, ask, refused], faults=[(4.9, 9.0)])


def test_register_of_a_socket_from_before_is_refused_while_the_later_one_is_there() -> None:
    there = [registered(10.0), Lost(20.0, "one", "node 0", "done")]
    taken = Insisted(12.1, ID, "one", "register", True, 12.0)
    assert found(registers.late_registers, [*there, taken])
    assert not found(registers.late_registers, [*there, taken], faults=[(9.0, 9.5)])
    assert not found(
        registers.late_registers, [registered(10.0), taken, Lost(12.05, "one", "n", "")]
    )
    refused = Insisted(12.1, ID, "one", "register", False, 12.0)
    assert not found(registers.late_registers, [*there, refused])


def visit(who: str, joined: float, over: float, left: float = 0.0, device: str = ID) -> list[Entry]:
    """A visit whose answers come after 0.1 s; `left`: it leaves first."""
    entries: list[Entry] = [JoinAsked(joined - 0.1, device, who, False)]
    entries.append(Joined(joined, device, who, 1, False, joined - 0.1))
    if left:
        entries.append(JoinAsked(left - 0.1, device, who, True))
        entries.append(Joined(left, device, who, 0, True, left - 0.1))
    return [*entries, VisitOver(over, who)]


def counts(clients: int, *others: Entry, left: bool = False, faults: Any = ()) -> bool:
    """Whether it is wrong that an answer at 20.1, asked for at 20.0, counts so many."""
    mine = [JoinAsked(20.0, ID, "me", False), Joined(20.1, ID, "me", clients, False, 20.0)]
    if left:
        mine = [
            JoinAsked(19.0, ID, "me", False),
            JoinAsked(20.0, ID, "me", True),
            Joined(20.1, ID, "me", clients, True, 20.0),
        ]
    return bool(found(visits.counted, [*mine, *others], faults))


@pytest.mark.parametrize(
    ("others", "right"),
    [
        ([], {1}),
        (visit("there", 10, 30), {2}),
        (visit("elsewhere", 10, 30, device="other"), {1}),
        (visit("left", 10, 30, left=19), {1}),
        (visit("leaving", 10, 30, left=20.05), {1, 2}),
        (visit("gone", 10, 17.9), {1}),
        (visit("going", 10, 18.5), {1, 2}),
        (visit("coming", 20.05, 30), {1, 2}),
        ([JoinAsked(20.3, ID, "later", False)], {1}),
    ],
)
def test_an_answer_counts_who_is_surely_there_and_none_who_has_gone(
    others: list[Entry], right: set[int]
) -> None:
    assert {n for n in range(4) if not counts(n, *others)} == right
    assert {n for n in range(4) if not counts(n, *others, left=True)} == {n - 1 for n in right}
    assert not counts(3, *others, faults=[(18.5, 18.6)])
