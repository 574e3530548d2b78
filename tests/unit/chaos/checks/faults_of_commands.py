"""Faults about commands and setups that are put into a sound run: promise → faults."""

from __future__ import annotations

from typing import Any

from chaos.evidence import Evidence
from chaos.journal import CommandShown, Entry, Received, Registered
from chaos.wishes import (
    Answered,
    BulkDone,
    BulkTaken,
    CancelAsked,
    CancelTaken,
    Mismatched,
    Ordered,
    OrderTaken,
    Put,
    PutTaken,
    ResultTaken,
    SetupSeen,
)
from tests.unit.chaos.checks.sound import DEVICE, Plant, order, replaced, row


def added(*entries: Entry) -> Plant:
    return lambda evidence: evidence.entries.extend(entries)


def without(kind: type[Entry], **fields: Any) -> Plant:
    """Takes the first entry of this kind with these fields away."""
    return lambda evidence: replaced(
        evidence,
        lambda e: isinstance(e, kind) and all(getattr(e, n) == v for n, v in fields.items()),
    )


def instead(new: Entry, **fields: Any) -> Plant:
    """Puts an entry in the place of the first one of its kind with these fields."""
    return lambda evidence: replaced(
        evidence,
        lambda e: isinstance(e, type(new)) and all(getattr(e, n) == v for n, v in fields.items()),
        new,
    )


def stored(number: int, status: str, *times: float, **more: Any) -> Plant:
    """Stores this of a command."""

    def store(evidence: Evidence) -> None:
        evidence.commands[DEVICE][number - 1] = row(number, status, *times, **more)

    return store


def both(*plants: Plant) -> Plant:
    def all_of_them(evidence: Evidence) -> None:
        for plant in plants:
            plant(evidence)

    return all_of_them


def lost_setup(evidence: Evidence) -> None:
    evidence.sessions[DEVICE]["setup_version"] = 1


PLANTED: dict[str, list[Plant]] = {
    "every command ends in one final status": [
        added(CommandShown(9.0, "wall", "c1", "expired")),
        stored(2, "succeeded"),
        added(*order(9.0, 7)),
        without(Received, command_id="c1"),
    ],
    "commands arrive, in order, and a repeated request is one command": [
        added(OrderTaken(9.0, "anna", DEVICE, "anna-1", "c9", "queued")),
        instead(Mismatched(5.35, "anna-1", "c1", "", "c1"), key="anna-1"),
        instead(Mismatched(5.35, "anna-1", "c1", "idempotency_mismatch", "c2"), key="anna-1"),
        added(Received(9.0, DEVICE, "c1", 1, 1, "kiosk")),
        lambda e: replaced(
            e,
            lambda entry: isinstance(entry, Received),
            Received(5.15, DEVICE, "c2", 2, 1),
            Received(5.2, DEVICE, "c1", 1, 1),
        ),
        instead(Received(5.2, DEVICE, "c1", 2, 1), command_id="c1"),
    ],
    "a command is sent again only while it is not acknowledged": [
        added(Received(9.0, DEVICE, "c2", 2, 2, "kiosk", 6.95)),  # it was delivered at 5.7
        added(Received(9.0, DEVICE, "c1", 1, 2, "kiosk", 6.95)),  # it had ended at 5.3
        added(Received(9.9, DEVICE, "c4", 4, 1, "meter", 9.8)),  # it was cancelled at 7.8
    ],
    "a command ends as its device said, or as was chosen": [
        instead(Answered(5.25, DEVICE, "kiosk", "c1", "failed"), command_id="c1"),
        without(Answered, command_id="c1"),
        added(CommandShown(5.64, "wall", "c2", "delivered")),  # it was first answered at 5.65
        instead(Answered(7.02, DEVICE, "kiosk", "c2", "ok"), what="failed"),
        without(CancelAsked),
        both(stored(3, "timed_out", 7.5, 9.6, 9.5), without(CommandShown, command_id="c3")),
    ],
    "a command and its outcome are kept": [
        instead(ResultTaken(7.04, DEVICE, "kiosk", "c2", False, "delivered"), command_id="c2"),
        instead(ResultTaken(7.04, DEVICE, "kiosk", "c2", False, "succeeded"), command_id="c2"),
        instead(CancelTaken(7.8, "anna", DEVICE, "c4", "expired"), command_id="c4"),
        stored(1, "succeeded", result={"number": 2}),
        stored(1, "succeeded"),
        stored(2, "failed", error={"number": 1}),
        lambda e: e.commands[DEVICE].pop(0),
    ],
    "a command lives as long as was asked": [
        stored(3, "expired", 7.5, 9.6, 9.6),
        stored(3, "expired", 7.5, 9.4, 9.5),
        stored(3, "timed_out", 7.5, 9.4, 9.5),
        added(CommandShown(9.0, "wall", "c3", "delivered")),
        instead(Ordered(7.4, "anna", DEVICE, "anna-3", 3, 3.0), number=3),
    ],
    "a command for many is one for each": [
        added(BulkTaken(9.0, "bulk-1", "b2")),
        added(Received(9.0, DEVICE, "c6", 70, 1, "kiosk")),
        added(Received(9.0, "third", "c6", 70, 1, "third")),
        instead(BulkDone(8.7, "bulk-1", 70, [DEVICE], []), key="bulk-1"),
        lambda e: e.commands[DEVICE].pop(4),
        lambda e: e.commands[DEVICE].append(row(6, "succeeded", params={"number": 70})),
    ],
    "no accepted setup is lost, and its answer is its own": [
        lost_setup,
        lambda e: e.sessions[DEVICE].update(setup={"mark": "somebody else's"}),
        instead(PutTaken(6.1, "bo", DEVICE, "bo-1", 1, "ed-1"), version=1),
        added(PutTaken(9.0, "bo", DEVICE, "bo-1", 2, None)),
        instead(PutTaken(6.1, "bo", DEVICE, "bo-1", 3, "bo-1"), version=1),
        lambda e: e.sessions[DEVICE].update(setup_version=9),
    ],
    "steps back and forth lead where they came from": [
        instead(PutTaken(6.5, "bo", DEVICE, "bo-3", 3, "bo-2"), version=3),
        instead(PutTaken(6.7, "bo", DEVICE, "bo-4", 4, "bo-1"), version=4),
        added(  # there is nothing left to redo
            Put(9.0, "bo", DEVICE, "bo-5", None, "redo"),
            PutTaken(9.1, "bo", DEVICE, "bo-5", 5, "bo-2"),
        ),
        added(  # of two that can be undone the later one comes first
            Put(9.0, "bo", DEVICE, "bo-5", None, "undo"),
            PutTaken(9.1, "bo", DEVICE, "bo-5", 5, None),
        ),
        added(  # behind a gap, what is known of it
            *(Put(9.0, "bo", DEVICE, f"bo-{n}", None) for n in (7, 8)),
            *(PutTaken(9.1, "bo", DEVICE, f"bo-{n}", n, f"bo-{n}") for n in (7, 8)),
            Put(9.2, "bo", DEVICE, "bo-9", None, "undo"),
            PutTaken(9.3, "bo", DEVICE, "bo-9", 9, "bo-8"),
        ),
    ],
    "devices are given the setups that were accepted": [
        added(SetupSeen(9.0, DEVICE, "kiosk", 2, "bo-1", -1.0)),
        added(SetupSeen(9.0, DEVICE, "kiosk", 3, "bo-2", -1.0)),
        added(SetupSeen(9.0, DEVICE, "kiosk", 3, "bo-1", 6.8)),  # of four versions then
        added(
            SetupSeen(9.0, DEVICE, "kiosk", 5, "bo-7", -1.0),
            SetupSeen(9.0, DEVICE, "rival", 5, "bo-8", -1.0),
        ),
        both(
            without(SetupSeen, version=4),
            added(Registered(9.0, DEVICE, "kiosk", 9, 5, 3, True, False, 8.9)),
            added(SetupSeen(9.0, DEVICE, "kiosk", 0, None, 8.9)),
        ),
    ],
}
