"""Pairs of runs that differ by one thing, of commands and setups: promise → what keeps it, and what does not."""

from __future__ import annotations

from typing import Any

from chaos.checks.outcomes import KEPT
from chaos.evidence import Evidence
from chaos.journal import CommandShown, Entry, Received, Reported
from chaos.wishes import (
    Answered,
    BulkAsked,
    BulkDone,
    BulkTaken,
    CancelAsked,
    CancelTaken,
    Mismatched,
    Ordered,
    OrderTaken,
    ResultTaken,
)
from tests.unit.chaos.checks.edges_of_people import Pairs, loss, nothing
from tests.unit.chaos.checks.faults_of_commands import added, both, instead, stored, without
from tests.unit.chaos.checks.sound import DEVICE, Plant, order, row


def shows(at: float, command_id: str, status: str) -> Plant:
    return added(CommandShown(at, "wall", command_id, status))


def got(at: float, command_id: str, number: int, attempt: int = 1, **more: Any) -> Plant:
    """A command that came: where nothing else is said, over the later connection of the sound run."""
    about = {"device": DEVICE, "who": "kiosk", "asked_at": 6.95} | more
    return added(Received(at, command_id=command_id, number=number, attempt=attempt, **about))


def ordered(at: float, number: int, status: str = "succeeded", **more: Any) -> Plant:
    """A command that was ordered at this time, arrived at once, and has succeeded."""
    entries: list[Entry] = [
        *order(at, number),
        Received(at + 0.1, DEVICE, f"c{number}", number, 1, "kiosk", 6.95),
        Answered(at + 0.1, DEVICE, "kiosk", f"c{number}", "ok"),
    ]
    began, ended = int(at), int(at) + 1
    shown = {"result": {"number": number}} | more

    def store(evidence: Evidence) -> None:
        evidence.entries += entries
        evidence.commands[DEVICE].append(row(number, status, began, ended, **shown))

    return store


def rows(count: int) -> Plant:
    """So many others that have succeeded, and none of those of the sound run."""

    def store(evidence: Evidence) -> None:
        evidence.commands[DEVICE] = [row(100 + n, "succeeded") for n in range(count)]

    return store


def placed(key: str, device: str, operator: str, number: int, command_id: str) -> Plant:
    return added(
        Ordered(9.0, operator, device, key, number),
        OrderTaken(9.1, operator, device, key, command_id, "queued"),
    )


def done(at: float = 8.7, *, refused: tuple[str, ...] = ("other",), **more: Any) -> Plant:
    about = {"key": "bulk-1", "devices": ["other", DEVICE]} | more
    return added(BulkDone(at, about["key"], 70, about["devices"], [*refused]))


PAIRS: Pairs = {
    "every command ends in one final status": [
        *(
            (shows(9, "c1", status), shows(9, "c1", other))
            for status in ("sent", "delivered", "succeeded")
            for other in ("failed", "expired", "timed_out", "cancelled")
        ),
        (shows(9, "c2", "failed"), shows(9, "c2", "succeeded")),
        (
            lambda e: e.commands.update(x=[row(9, "failed")]),
            lambda e: e.commands.update(x=[row(9, "queued")]),
        ),
        (
            lambda e: e.commands.update(x=[row(9, "failed")]),
            lambda e: e.commands.update(x=[row(1, "failed")]),
        ),
        (ordered(9, 7), ordered(9, 7, status="sent")),
        (both(added(*order(9, 7)), shows(9.5, "c7", "cancelled")), added(*order(9, 7))),
        (
            both(added(*order(9, 7)), shows(9.5, "c7", "failed")),
            both(added(*order(9, 7)), shows(9.5, "c7", "succeeded")),
        ),
        # what a loss may have set back, or taken
        (both(added(*order(9, 7)), loss(9.05)), both(added(*order(9, 7)), loss(8.9))),
        (both(loss(9), shows(8.9, "c1", "failed")), both(loss(5, 5.5), shows(8.9, "c1", "failed"))),
        (
            both(loss(9), stored(2, "sent")),
            both(loss(5, 5.9), stored(2, "sent"), without(CommandShown, status="failed")),
        ),
    ],
    "commands arrive, in order, and a repeated request is one command": [
        (
            added(OrderTaken(9, "anna", DEVICE, "anna-1", "c1", "queued")),
            added(OrderTaken(9, "anna", DEVICE, "anna-1", "c2", "queued")),
        ),
        (placed("x", DEVICE, "anna", 9, "c9"), placed("anna-4", DEVICE, "anna", 4, "c9")),
        (nothing, instead(Mismatched(5.35, "anna-1", "c1", "conflict", "c1"), key="anna-1")),
        (
            added(Mismatched(9, "anna-2", "c2", "idempotency_mismatch", "c2")),
            added(Mismatched(9, "anna-2", "c2", "idempotency_mismatch", "c1")),
        ),
        (
            both(loss(9), added(Mismatched(9.1, "anna-2", "c2", "", ""))),
            both(loss(5, 5), added(Mismatched(9.1, "anna-2", "c2", "", ""))),
        ),
        (
            both(loss(9), added(OrderTaken(9.1, "anna", DEVICE, "anna-1", "c9", "queued"))),
            both(loss(5, 4.9), added(OrderTaken(9.1, "anna", DEVICE, "anna-4", "c9", "queued"))),
        ),
        (got(9, "c1", 1, 2), got(9, "c1", 1, 1)),
        (
            both(got(9, "c1", 1, 2), got(9.1, "c1", 1, 3)),
            both(got(9, "c1", 1, 3), got(9.1, "c1", 1, 2)),
        ),
        (got(9, "c1", 1, 1, who="rival"), both(got(9, "c1", 1, 3), got(9.1, "c1", 1, 3))),
        (
            both(loss(8.9), got(9, "c1", 1, 1)),
            both(loss(5, 4), got(9, "c4", 4, 1), got(9, "c4", 4, 1)),
        ),
        (
            both(placed("x", DEVICE, "anna", 9, "c9"), got(9.2, "c9", 9)),
            both(placed("x", DEVICE, "anna", 9, "c9"), got(9.2, "c9", 10)),
        ),
        (
            both(placed("x", DEVICE, "anna", 9, "c9"), got(9.2, "c9", 9)),
            both(placed("x", DEVICE, "anna", 9, "c9"), got(9.2, "c9", 8)),
        ),
        (  # of another operator, or for another device: no order between them
            both(placed("x", DEVICE, "zoe", 0, "c9"), got(9.2, "c9", 0)),
            both(placed("x", DEVICE, "anna", 0, "c9"), got(9.2, "c9", 0)),
        ),
        (
            both(placed("x", "other", "anna", 1, "c9"), got(9.2, "c9", 1, device="other")),
            both(placed("x", DEVICE, "anna", 1, "c9"), got(9.2, "c9", 1)),
        ),
        (
            both(placed("x", DEVICE, "anna", 2, "c9"), got(9.2, "c9", 2)),
            both(
                placed("x", DEVICE, "anna", 9, "c9"),
                placed("y", DEVICE, "anna", 8, "c8"),
                got(9.2, "c9", 9),
                got(9.3, "c8", 8),
            ),
        ),
        (  # a repetition says nothing about the order
            both(placed("x", DEVICE, "anna", 9, "c9"), got(9.2, "c9", 9), got(9.3, "c1", 1, 2)),
            both(
                placed("x", DEVICE, "anna", 9, "c9"),
                placed("y", DEVICE, "anna", 8, "c8"),
                placed("z", DEVICE, "anna", 7, "c7"),
                got(9.2, "c9", 9),
                got(9.3, "c9", 9, 2),
                got(9.4, "c7", 7),
            ),
        ),
        (got(9, "c5", 70, 2), got(9, "c77", -1)),
        (both(loss(8), got(9, "c77", -1)), got(9, "c77", 70, device="third")),
    ],
    "a command is sent again only while it is not acknowledged": [
        (nothing, got(9, "c2", 2, 2)),
        (nothing, got(9, "c1", 1, 2)),
        (
            both(shows(6.99, "x", "sent"), got(9, "x", 9)),
            both(shows(6.94, "x", "delivered"), got(9, "x", 9)),
        ),
        (
            both(shows(7.0, "x", "expired"), got(9, "x", 9)),
            both(shows(6.94, "x", "expired"), got(9, "x", 9)),
        ),
        (
            both(shows(7.1, "x", "delivered"), got(9, "x", 9)),
            both(shows(6.9, "x", "delivered"), shows(7.1, "x", "succeeded"), got(9, "x", 9)),
        ),
        (
            both(shows(7.2, "x", "delivered"), shows(7.1, "x", "failed"), got(9, "x", 9)),
            both(shows(7.2, "x", "delivered"), shows(6.9, "x", "failed"), got(9, "x", 9)),
        ),
        *(  # what it said it had, in a report
            (
                both(
                    seen_at,
                    got(12, "x", 9, who="small", asked_at=11.0),
                ),
                both(
                    seen_at,
                    got(12, "x", 9, who="small", asked_at=11.01),
                ),
            )
            for seen_at in (
                added(Reported(11.0, "small", "small", 10.5, 1.0, ("x",))),
                added(Reported(11.0, "small", "small", 10.5, 1.0, ("y", "x", "z"))),
                both(
                    added(Reported(11.0, "small", "small", 10.5, 1.0, ("x",))),
                    added(Reported(11.5, "small", "small", 11.2, 1.0, ("x",))),
                ),
            )
        ),
        (
            both(shows(8.0, "x", "delivered"), got(9, "x", 9, who="rival", asked_at=8.0)),
            both(shows(8.0, "x", "delivered"), got(9, "x", 9, who="rival", asked_at=8.1)),
        ),
        (both(loss(8), got(9, "c2", 2, 2)), both(loss(5, 4), got(9, "c2", 2, 2))),
    ],
    "a command ends as its device said, or as was chosen": [
        *(
            (
                both(
                    ordered(9, 7, status="timed_out"),
                    added(Answered(9.2, DEVICE, "kiosk", "c7", said)),
                ),
                both(added(*order(9, 7)), lambda e: e.commands[DEVICE].append(row(7, "timed_out"))),
            )
            for said in ("ack", "ok", "failed")
        ),
        *(
            (
                both(
                    added(*order(9, 7), Answered(9.2, DEVICE, "kiosk", "c7", said)),
                    shows(9.3, "c7", "timed_out"),
                ),
                both(
                    added(*order(9, 7), CancelAsked(9.2, "anna", DEVICE, "c7")),
                    shows(9.3, "c7", "timed_out"),
                ),
            )
            for said in ("ack", "ok", "failed")
        ),
        (
            both(ordered(9, 7), added(Answered(9.2, DEVICE, "kiosk", "c7", "failed"))),
            ordered(9, 7, status="failed"),
        ),
        (
            both(
                added(*order(9, 7), CancelAsked(9.2, "anna", DEVICE, "c7")),
                shows(9.3, "c7", "cancelled"),
            ),
            both(
                added(*order(9, 7), CancelAsked(9.2, "anna", DEVICE, "c1")),
                shows(9.3, "c7", "cancelled"),
            ),
        ),
        (shows(9.3, "unknown", "succeeded"), both(added(*order(9, 7)), shows(9.3, "c7", "failed"))),
        (
            both(added(*order(9, 7)), shows(9.3, "c7", "expired")),
            both(added(*order(9, 7)), shows(9.3, "c7", "succeeded")),
        ),
        (
            both(loss(9.5), added(*order(9, 7)), shows(9.6, "c7", "failed")),
            both(loss(8.5), added(*order(9, 7)), shows(9.6, "c7", "failed")),
        ),
    ],
    "a command and its outcome are kept": [
        *(
            (
                added(ResultTaken(9, DEVICE, "kiosk", name, True, status)),
                added(ResultTaken(9, DEVICE, "kiosk", name, True, "delivered")),
            )
            for name, status in (("c1", "succeeded"), ("c4", "cancelled"), ("unknown", "expired"))
        ),
        (
            added(CancelTaken(9, "anna", DEVICE, "c1", "succeeded")),
            added(CancelTaken(9, "anna", DEVICE, "c1", "cancelled")),
        ),
        (
            both(
                shows(9, "x", "failed"),
                added(ResultTaken(9, DEVICE, "kiosk", "x", False, "failed")),
            ),
            both(
                shows(9, "x", "failed"),
                added(ResultTaken(9, DEVICE, "kiosk", "x", False, "succeeded")),
            ),
        ),
        (
            both(
                shows(9, "c1", "sent"),
                added(ResultTaken(9, DEVICE, "kiosk", "c1", True, "succeeded")),
            ),
            both(
                shows(9, "c1", "failed"),
                added(ResultTaken(9, DEVICE, "kiosk", "c1", True, "failed")),
            ),
        ),
        (
            both(loss(9), added(CancelTaken(9.1, "anna", DEVICE, "c1", "cancelled"))),
            both(loss(4, 3), added(CancelTaken(9.1, "anna", DEVICE, "c1", "cancelled"))),
        ),
        (rows(KEPT), rows(KEPT - 1)),
        (lambda e: e.commands.clear(), lambda e: e.commands.update({DEVICE: []})),
        (
            both(loss(9), lambda e: e.commands[DEVICE].pop(3)),
            both(loss(4), lambda e: e.commands[DEVICE].pop(3)),
        ),
        (both(loss(9), stored(1, "succeeded")), both(loss(4), stored(1, "succeeded"))),
        (ordered(9, 7), ordered(9, 7, result={"number": 8})),
        (ordered(9, 7), ordered(9, 7, result=None)),
        (stored(3, "expired", error={"code": "x"}), stored(2, "failed", error={"number": 3})),
    ],
    "a command lives as long as was asked": [
        (
            ordered(9, 7),
            both(added(*order(9, 7, 60)), lambda e: e.commands[DEVICE].append(row(7, "succeeded"))),
        ),
        (stored(3, "expired", 7.5, 9.6, 9.501), stored(3, "expired", 7.5, 9.6, 9.503)),
        (stored(3, "expired", 7.5, 9.6, 9.499), stored(3, "expired", 7.5, 9.6, 9.497)),
        (stored(3, "expired", 7.5, 9.499, 9.5), stored(3, "expired", 7.5, 9.497, 9.5)),
        (stored(3, "cancelled", 7.5, 9.4, 9.5), stored(3, "timed_out", 7.5, 9.4, 9.5)),
        (shows(9, "c3", "sent"), shows(9, "c3", "delivered")),
        (lambda e: e.commands[DEVICE].insert(0, row(99, "expired", ends=40)), stored(1, "expired")),
        (
            both(stored(3, "failed", 7.5, 9.6, 9.5), shows(9, "c3", "delivered")),
            shows(9, "c3", "delivered"),
        ),
    ],
    "a command for many is one for each": [
        (added(BulkTaken(9, "bulk-2", "b2")), added(BulkTaken(9, "bulk-1", "b2"))),
        (got(9, "c5", 70, 2), got(9, "c6", 70)),
        (got(9, "x", 70, device="other"), got(9, "x", 70, device="third")),
        (
            got(9, "x", 71, device="third"),
            both(got(9, "x", 70, device="other"), got(9, "y", 70, device="other")),
        ),
        (
            done(devices=[DEVICE, "other"]),
            done(devices=[DEVICE, "other", "third"], refused=("third",)),
        ),
        (done(), done(devices=[DEVICE, DEVICE, "other"])),
        (done(refused=()), both(done(refused=()), lambda e: e.commands.update(other=[]))),
        (both(rows(KEPT), done()), both(rows(KEPT - 1), done())),
        (nothing, rows(0)),
        (nothing, lambda e: e.commands[DEVICE].append(row(6, "succeeded", params={"number": 70}))),
        (
            lambda e: e.commands[DEVICE].append(row(6, "failed", params=None)),
            lambda e: e.commands[DEVICE].pop(),
        ),
        (
            both(loss(8.3), added(BulkTaken(9, "bulk-1", "b2"))),
            both(loss(8.29), added(BulkTaken(9, "bulk-1", "b2"))),
        ),
        (both(loss(8.3), got(9, "c6", 70)), both(loss(8.29), got(9, "c6", 70))),
        (both(loss(8.3), rows(0)), both(loss(8.29), rows(0))),
        (  # it was asked again after the loss
            both(
                loss(8.35), added(BulkAsked(8.6, "bulk-1", 70, [DEVICE, "other"])), got(9, "c6", 70)
            ),
            both(
                loss(8.2), added(BulkAsked(8.6, "bulk-1", 70, [DEVICE, "other"])), got(9, "c6", 70)
            ),
        ),
        (done(key="unknown", devices=["x"], refused=()), done(devices=["x"], refused=("x",))),
    ],
}
