"""More pairs: the one that breaks a promise is the first of its kind, or is excused by a loss of data that is near."""

from __future__ import annotations

from chaos.checks.outcomes import KEPT
from chaos.evidence import Evidence
from chaos.journal import (
    Acked,
    CommandShown,
    Contested,
    Damaged,
    DataLost,
    Entry,
    Received,
    RegisterAsked,
    Registered,
    Sent,
    Superseded,
)
from chaos.wishes import (
    BulkDone,
    BulkTaken,
    LateWrite,
    Ordered,
    OrderTaken,
    Put,
    PutTaken,
    ResultTaken,
    SetupSeen,
)
from tests.unit.chaos.checks.edges_of_commands import done, got, placed, rows, shows
from tests.unit.chaos.checks.edges_of_people import (
    Pairs,
    acked,
    came,
    data_of,
    fault,
    index,
    key,
    loss,
    nothing,
    refused,
    verified,
)
from tests.unit.chaos.checks.edges_of_setups import edited, put, sees, setup, taken
from tests.unit.chaos.checks.faults_of_commands import added, both, stored, without
from tests.unit.chaos.checks.sound import DEVICE, TAG, Plant, order, row


def ahead(*entries: Entry) -> Plant:
    """Puts entries before all others."""
    return lambda evidence: evidence.entries.__setitem__(slice(0, 0), entries)


def of_rival(at: float, count: int, generation: int, rev: int) -> Plant:
    """Another one under the same id, of which nothing else is known."""
    return added(
        Sent(at - 0.1, DEVICE, "rival", "r", count, count),
        Acked(at, DEVICE, "rival", count, generation, rev),
    )


def log(*lines: str, explained: tuple[str, ...] = ()) -> Plant:
    def write(evidence: Evidence) -> None:
        evidence.logs["node 0"] += lines
        evidence.explained += explained

    return write


def rows_of(device: str, *of_it: dict[str, object]) -> Plant:
    return lambda evidence: evidence.commands.update({device: [*of_it]})


def result(command_id: str, status: str) -> Plant:
    return added(ResultTaken(9.5, DEVICE, "kiosk", command_id, False, status))


def first_change(device: str, step: str) -> Plant:
    """The first change of a session, and its answer, which has no document."""
    return added(
        Put(9, "bo", device, "first", None, step), PutTaken(9.1, "bo", device, "first", 1, None)
    )


READ = LateWrite(12, "brief-1", "read", True)
#: A command that was ordered before a loss at 9 and again behind it.
AGAIN = added(Ordered(8.9, "anna", DEVICE, "anna-7", 7), *order(9.05, 7))

PAIRS: Pairs = {
    "the archive is whole": [
        (
            both(fault("node killed"), fault("valkey killed"), verified(beside=["x"])),
            both(fault("node killed"), fault("redis cut"), verified(beside=["x"])),
        ),
    ],
    "a damaged file is seen": [(nothing, ahead(Damaged(9.0, "x", "cut", True, [])))],
    "no error without a reason": [
        (log("a b", explained=("x", "a b")), log("a b", explained=("x", "a c"))),
        (log("a", "b", explained=("a", "b")), log("a", "b", explained=("a",))),
        (log("a b", explained=("^a",)), log("a b", explained=("^b",))),
    ],
    "who was sent away stays away, and comes back": [
        (both(loss(7.95), came(8.1, 8.5)), both(loss(7.89), came(8.1, 8.5))),
        (both(loss(8.3, 8.2), came(8.1, 8.5)), both(loss(8.3, 8.5), came(8.1, 8.5))),
        (
            both(fault("busy"), fault("redis clock"), came(8.1, 8.5)),
            both(fault("busy"), came(8.1, 8.5)),
        ),
        (nothing, ahead(Registered(8.5, DEVICE, "kiosk", 50, 8, 4, True, False, 8.1))),
        (
            both(ahead(RegisterAsked(0.1, DEVICE, "r", 0.1)), refused(8.1, who="r")),
            refused(8.1, who="r"),
        ),
    ],
    "what was deleted is gone": [
        (both(loss(9.65, 9.65), added(READ)), both(loss(9.65, 9.75), added(READ))),
        (nothing, ahead(READ)),
        (nothing, lambda e: setattr(e, "keys", {"muster:x:brief-1": 5, **e.keys})),
    ],
    "a command for many is one for each": [
        (rows_of("other"), both(rows_of("other"), done(refused=()))),
        (
            both(ahead(BulkDone(0.1, "unknown", 1, ["x"], [])), nothing),
            both(ahead(BulkDone(0.1, "unknown", 1, ["x"], [])), done(devices=[DEVICE, "x"])),
        ),
        (nothing, ahead(BulkTaken(0.1, "bulk-1", "b2"))),
        (nothing, ahead(Received(0.1, DEVICE, "c6", 70, 1, "kiosk"))),
        (nothing, lambda e: e.commands[DEVICE].insert(0, row(6, "failed", params={"number": 70}))),
    ],
    "every command ends in one final status": [
        (nothing, ahead(CommandShown(0.1, "wall", "c1", "failed"))),
        (rows_of("x", row(9, "failed")), rows_of("x", row(9, "failed"), row(9, "expired"))),
        (
            both(added(*order(9, 7)), shows(9.2, "c7", "cancelled")),
            added(*order(9, 7), OrderTaken(9.3, "anna", DEVICE, "anna-7", "c1", "queued")),
        ),
        # what was ordered, received or shown between the backup and the loss
        (both(loss(8, 5.25), stored(1, "sent")), both(loss(8, 5.35), stored(1, "sent"))),
        *(
            (
                both(loss(8, 5.15), without(CommandShown, command_id="c1"), stored(1, "sent")),
                both(loss(8, since), without(CommandShown, command_id="c1"), stored(1, "sent")),
            )
            for since in (5.2, 5.25)
        ),
        *(
            (
                both(loss(at), without(CommandShown, command_id="c1"), stored(1, "sent")),
                both(loss(4.9), without(CommandShown, command_id="c1"), stored(1, "sent")),
            )
            for at in (5.0, 5.05)
        ),
        (both(loss(9), AGAIN), both(loss(8.8), AGAIN)),
        *(
            (
                both(loss(9.6, 9.55), shown_last, stored(3, "sent")),
                both(loss(9.5, 9.45), shown_last, stored(3, "sent")),
            )
            for shown_last in (nothing, got(9.6, "c3", 3))
        ),
    ],
    "commands arrive, in order, and a repeated request is one command": [
        (got(9, "x", 70, device="other"), got(9, "x", 70, device="third")),
        (
            both(placed("x", DEVICE, "anna", 9, "c9"), got(9.2, "c9", 9)),
            both(placed("x", DEVICE, "anna", 9, "c9"), got(9.2, "c9", 4)),
        ),
        (
            both(added(OrderTaken(9, "zoe", DEVICE, "lost", "c9", "queued")), got(9.2, "c9", 4)),
            both(
                placed("y", DEVICE, "zoe", 9, "c8"),
                placed("x", DEVICE, "zoe", 4, "c9"),
                got(9.2, "c9", 9),
            ),
        ),
    ],
    "a command is sent again only while it is not acknowledged": [
        (both(shows(0.5, "x", "delivered"), got(9, "x", 9, asked_at=0.4)), got(9, "c2", 2, 2)),
    ],
    "a command and its outcome are kept": [
        (
            both(loss(9), lambda e: e.commands[DEVICE].pop(3)),
            both(loss(5.35), lambda e: e.commands[DEVICE].pop(3)),
        ),
        (
            both(
                rows(KEPT),
                lambda e: e.commands[DEVICE].append(row(2, "failed", error={"number": 2})),
            ),
            both(
                rows(KEPT),
                lambda e: e.commands[DEVICE].append(row(2, "failed", error={"number": 9})),
            ),
        ),
        (
            added(OrderTaken(9, "anna", DEVICE, "lost", "c9", "queued")),
            placed("x", DEVICE, "anna", 9, "c9"),
        ),
        (
            both(shows(9, "x", "failed"), shows(9.1, "x", "delivered"), result("x", "failed")),
            both(shows(9, "x", "failed"), shows(9.1, "x", "delivered"), result("x", "delivered")),
        ),
        (
            both(
                shows(9, "x", "failed"),
                rows_of("x", {**row(9, "sent"), "command_id": "x"}),
                result("x", "failed"),
            ),
            both(
                shows(9, "x", "failed"),
                rows_of("x", {**row(9, "sent"), "command_id": "x"}),
                result("x", "sent"),
            ),
        ),
        (
            both(ahead(CommandShown(0.1, "wall", "x", "failed")), result("x", "failed")),
            both(ahead(CommandShown(0.1, "wall", "x", "failed")), result("x", "succeeded")),
        ),
    ],
    "a command lives as long as was asked": [
        (
            ahead(CommandShown(0.1, "wall", "c3", "sent")),
            ahead(CommandShown(0.1, "wall", "c3", "delivered")),
        ),
    ],
    "no accepted setup is lost, and its answer is its own": [
        (
            both(edited(9, 5, 5), edited(9.2, 6, 6), setup(6, "bo-6")),
            both(edited(9, 5, 5), edited(9.2, 6, 5), setup(5, "bo-5")),
        ),
        (
            both(added(put(9, 5, 4), taken(9.1, 5, 5, None)), setup(5, "bo-5")),
            both(added(put(9, 5, 5), taken(9.1, 5, 5, None)), setup(5, "bo-5")),
        ),
    ],
    "steps back and forth lead where they came from": [
        (
            both(
                edited(9, 5, 5, mark=None),
                edited(9.2, 6, 6),
                edited(9.4, 7, 7, step="undo", mark="bo-5"),
            ),
            both(
                edited(9, 5, 5, mark=None),
                edited(9.2, 6, 6),
                edited(9.4, 7, 7, step="undo", mark=None),
            ),
        ),
        (
            both(
                edited(9, 7, 7),
                edited(9.2, 8, 8, step="undo", mark="y"),
                edited(9.4, 9, 9, step="undo", mark="z"),
            ),
            both(edited(9, 7, 7), edited(9.2, 8, 8, step="redo", mark="y")),
        ),
        *((first_change("x", ""), first_change("x", step)) for step in ("undo", "redo")),
    ],
    "devices are given the setups that were accepted": [
        (
            both(loss(8.9), edited(9, 7, 7), sees(9.5, 7, "bo-7")),
            both(loss(8.9), edited(9, 7, 7), sees(9.5, 7, "x")),
        ),
        (  # sent before the loss, in which its version was given to another one
            both(edited(8.8, 6, 7), loss(8.9), edited(9, 7, 7), sees(9.1, 7, "bo-6")),
            both(edited(8.8, 6, 7), loss(8.9), edited(9, 7, 7), sees(11, 7, "bo-6")),
        ),
        (sees(9, 3, "bo-1", 6.7, who="rival"), sees(9, 3, "bo-1", 6.8, who="rival")),
        (nothing, ahead(SetupSeen(0.1, DEVICE, "kiosk", 4, "x", -1.0))),
    ],
    "one owner at a time": [
        (nothing, ahead(Contested(0.1, "x", 2))),
        (nothing, added(Registered(9, DEVICE, "a", 9, 0, 0, False, False))),
        (of_rival(9, 1, 9, 7), of_rival(9, 1, 9, 6)),
        (both(acked(9, 10, 8), acked(9.5, 9, 7, 10)), both(acked(9, 9, 8), acked(9.5, 10, 7, 10))),
        (
            both(of_rival(9, 1, 7, 7), loss(8.95, 8.7)),
            both(of_rival(9, 1, 7, 7), loss(8.85, 8.7)),
        ),
    ],
    "no earlier connection takes a session back": [
        (nothing, ahead(Superseded(0.1, DEVICE, "kiosk", 0.0))),
    ],
    "every session is in one place": [
        (
            both(index(archived=["old", "b"]), lambda e: e.files.update({"b.zst": True})),
            both(index(archived=["old", "old"]), lambda e: e.files.update({"b.zst": True})),
        ),
        (
            both(
                lambda e: e.indexes.update(
                    {"muster:{1}:": {"active": [], "inactive": [], "archived": ["z"]}}
                ),
                lambda e: e.files.update({"z.zst": True}),
            ),
            lambda e: e.indexes.update(
                {"muster:{1}:": {"active": [], "inactive": [], "archived": ["z"]}}
            ),
        ),
        (
            both(
                added(Registered(9, "x", "y", 1, 0, 0, False, False)),
                lambda e: e.summaries.update(x={}),
            ),
            both(
                added(Registered(9, "x", "y", 1, 0, 0, False, False)),
                lambda e: e.summaries.update(y={}),
            ),
        ),
        (nothing, ahead(Registered(0.1, "x", "x", 1, 0, 0, False, False))),
    ],
    "no acked sample is missing": [
        (both(acked(9, 9, 7), loss(8.95)), both(acked(9, 9, 7), loss(8.85))),
        (both(of_rival(9, 1, 9, 7), loss(8.95)), both(of_rival(9, 1, 9, 7), loss(8.85))),
        (  # what the newest file of the second sender had
            both(
                of_rival(9, 1, 9, 7), added(DataLost(20, -1, {DEVICE: {"kiosk": [1], "rival": []}}))
            ),
            both(
                of_rival(9, 1, 9, 7),
                added(DataLost(20, -1, {DEVICE: {"kiosk": [1], "rival": [1]}})),
            ),
        ),
        (
            added(DataLost(20, -1, {DEVICE: {"kiosk": [1, 2]}, "x": {"y": [1]}})),
            added(DataLost(20, -1, {DEVICE: {"kiosk": [1, 5]}})),
        ),
    ],
    "no sample is stored twice, or out of order": [
        (
            both(ahead(Sent(0.1, DEVICE, "rival", "r", 1, 1)), data_of("rival", 1)),
            both(ahead(Sent(0.1, DEVICE, "rival", "r", 1, 1)), data_of("rival", 1, 1)),
        ),
    ],
    "keys are documented, and have their TTL": [
        (key(f"{TAG}staging:x:y"), key(f"{TAG}stagings:x:y"))
    ],
}
