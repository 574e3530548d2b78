"""Pairs of runs that differ by one thing, of dashboards that see several sessions, senders or snapshots."""

from __future__ import annotations

from typing import Any

from chaos.evidence import Evidence
from chaos.journal import Changed, Sent, Shown, Watched
from tests.unit.chaos.checks.edges_of_dashboards import BOTH, sent, shows, view, watches
from tests.unit.chaos.checks.edges_of_more import ahead
from tests.unit.chaos.checks.edges_of_people import Pairs, data_of, loss, nothing, only
from tests.unit.chaos.checks.faults_of_commands import added, both
from tests.unit.chaos.checks.sound import DEVICE, SUMMARY, Plant

OTHER = {**SUMMARY, "session_id": "a", "rev": 1}


def of_other(rev: int) -> Plant:
    return added(Shown(20.0, "wall", "x", rev, [["x", 1, 0.0]], False))


def knows_two(rev: int, **more: Any) -> Plant:
    """A new dashboard whose snapshot has another session first."""
    return added(Watched(10.5, "new", False, {"a": OTHER, DEVICE: {**SUMMARY, "rev": rev, **more}}))


def stored_of(session: str, sender: str, *counts: int) -> Plant:
    def store(evidence: Evidence) -> None:
        evidence.entries += [Sent(9.0, session, sender, "s", n, n) for n in counts]
        evidence.sessions[session] = {"data": {sender: [[n, 0.0] for n in counts]}}

    return store


def first_row(row: dict[str, Any]) -> Plant:
    return lambda e: setattr(e, "summaries", {row["session_id"]: row, **e.summaries})


def rival(*counts: int) -> Plant:
    """Samples of another sender that the first dashboard sees."""
    return both(
        BOTH,
        sent(*counts, sender="rival", rev=20),
        data_of("rival", *counts),
        shows("wall", 30, *counts, key="rival"),
    )


PAIRS: Pairs = {
    "dashboards have no gaps unless notified": [
        (both(of_other(4), of_other(5)), both(of_other(5), of_other(4))),
        (
            both(
                BOTH, watches("new", 14), shows("new", 15, 7, 7, key="fault"), shows("new", 16, 9)
            ),
            both(
                BOTH, watches("new", 14), shows("new", 15, 7, 7, key="fault"), shows("new", 16, 77)
            ),
        ),
        (
            both(
                stored_of("x", "kiosk", 7),
                added(Shown(9, "wall", "x", 1, [["kiosk", 7, 0]], False)),
            ),
            both(
                stored_of("x", "kiosk", 7),
                added(Shown(9, "wall", "x", 1, [["kiosk", 4, 0]], False)),
            ),
        ),
        (
            both(
                rival(1, 2),
                watches("new", 10),
                shows("new", 14, 9, conflated=True),
                shows("new", 21, 1, 2, key="rival"),
            ),
            both(
                rival(1, 2),
                watches("new", 10),
                shows("new", 14, 9, conflated=True),
                shows("new", 21, 2, key="rival"),
            ),
        ),
        (
            both(BOTH, watches("new"), shows("new", 14, 9)),
            both(BOTH, watches("new", 10), shows("new", 14, 9)),
        ),
        (  # no ack said which revision they have
            both(
                added(*(Sent(9, DEVICE, "rival", "r", n, n) for n in (1, 2))),
                data_of("rival", 1, 2),
                watches("new", 0, values=["rival"]),
                shows("new", 9, 2, key="rival"),
            ),
            both(
                sent(1, 2, sender="rival", rev=1),
                data_of("rival", 1, 2),
                watches("new", 0, values=["rival"]),
            ),
        ),
        (
            both(
                BOTH, watches("new", 14), shows("new", 15, 77, conflated=True), watches("new", 16)
            ),
            both(BOTH, watches("new", 14), shows("new", 15, 77), watches("new", 16)),
        ),
        (
            both(BOTH, watches("new", 1, scope={"project_id": ""}), lambda e: e.summaries.clear()),
            both(BOTH, watches("new", 1, scope={"project_id": ""})),
        ),
        *(
            (
                both(BOTH, added(Sent(9, *who, "s", 1, 1)), watches("new", 14, **choice)),
                both(BOTH, added(Sent(9, *who, "s", 1, 1)), watches("new", 11, **choice)),
            )
            for who, choice in ((("a", "a"), {}), ((DEVICE, "a"), {"values": ["kiosk"]}))
        ),
        (
            both(rival(1), watches("new", 20, values=["rival"])),
            both(rival(1), watches("new", 19, values=["rival"])),
        ),
        (  # what was shown first is lost
            both(
                loss(8),
                only(1, 4),
                watches("new", 1, values_then={"kiosk": [1, 0.0]}),
                shows("new", 2, 2),
                shows("new", 6, 4),
            ),
            both(
                loss(8),
                only(1, 4),
                watches("new", 1, values_then={"kiosk": [1, 0.0]}),
                shows("new", 2, 2),
                shows("new", 6, 77),
            ),
        ),
        (both(BOTH, knows_two(14)), both(BOTH, knows_two(11))),
        (
            both(BOTH, knows_two(14, values={"kiosk": [8, 0.0]}), shows("new", 20, 9)),
            both(BOTH, knows_two(14, values={"kiosk": [7, 0.0]}), shows("new", 20, 9)),
        ),
        (
            both(
                BOTH, watches("new"), added(Changed(11, "new", [OTHER, {**SUMMARY, "rev": 14}], []))
            ),
            both(
                BOTH, watches("new"), added(Changed(11, "new", [OTHER, {**SUMMARY, "rev": 3}], []))
            ),
        ),
    ],
    "dashboards get what they chose": [
        (nothing, ahead(Shown(0.05, "screen", DEVICE, 0, [["x", 1, 0.0]], False))),
        (
            ahead(Changed(0.05, "new", [SUMMARY], [])),
            both(
                ahead(Changed(0.05, "new", [SUMMARY], [])),
                watches("new", scope={"project_id": "red"}),
            ),
        ),
    ],
    "dashboards end with the state that is true": [
        (
            first_row({**OTHER, "state": "archived"}),
            both(first_row({**OTHER, "state": "archived"}), view("wall", state="x")),
        ),
        (
            both(
                first_row({**OTHER, "project_id": "blue"}),
                watches("wall", scope={"project_id": ""}),
                lambda e: e.views["screen"].update(a={**OTHER, "project_id": "blue"}),
            ),
            both(
                first_row({**OTHER, "project_id": "blue"}),
                watches("wall", scope={"project_id": ""}),
                lambda e: e.views["screen"].update(a={**OTHER, "project_id": "blue"}),
                view("wall", state="x"),
            ),
        ),
        (first_row({**OTHER, "state": "archived"}), first_row({**OTHER, "state": "active"})),
    ],
}
