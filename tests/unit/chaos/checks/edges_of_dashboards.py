"""Pairs of runs that differ by one thing, of dashboards: promise → what keeps it, and what does not."""

from __future__ import annotations

from typing import Any

from chaos.journal import Acked, Changed, Entry, Sent, Shown, Watched
from tests.unit.chaos.checks.edges_of_people import Pairs, data_of, loss, nothing, only
from tests.unit.chaos.checks.faults_of_commands import added, both
from tests.unit.chaos.checks.sound import DEVICE, SUMMARY, Plant, replaced, shown


def sent(*counts: int, rev: int = 10, sender: str = "kiosk", device: str = DEVICE) -> Plant:
    """Counts that were sent and acked at 11, 12, …, with these revisions and those behind them."""
    entries: list[Entry] = []
    for number, count in enumerate(counts):
        entries += [
            Sent(11.0 + number, device, sender, "s1", count, count),
            Acked(11.1 + number, device, sender, count, 9, rev + number),
        ]
    return added(*entries)


def shows(who: str, rev: int, *counts: int, conflated: bool = False, key: str = "kiosk") -> Plant:
    samples = [[key, count, 0.0] for count in counts]
    return added(Shown(20.0, who, DEVICE, rev, samples, conflated))


def watches(who: str, rev: int | None = None, *, recovered: bool = False, **more: Any) -> Plant:
    """A dashboard that knows the session with this revision, and values; it chooses, perhaps."""
    values = more.pop("values_then", {})
    known = {} if rev is None else {DEVICE: {**SUMMARY, "rev": rev, "values": values}}
    return added(Watched(10.5, who, recovered, known, more))


def unshown(count: int, *instead: Entry) -> Plant:
    return lambda evidence: replaced(evidence, shown(count), *instead)


def showed(count: int, rev: int, *, conflated: bool = False, who: str = "wall") -> Entry:
    return Shown(float(count), who, DEVICE, rev, [["kiosk", count, 0.0]], conflated)


def view(who: str, **fields: Any) -> Plant:
    return lambda evidence: evidence.views[who][DEVICE].update(fields)


def sees_nothing(who: str, *, state: str = "inactive") -> Plant:
    def forget(evidence: Any) -> None:
        evidence.views[who].pop(DEVICE)
        for rows in (evidence.summaries, *evidence.views.values()):
            rows.get(DEVICE, {}).update(state=state)

    return forget


#: Five more samples of the session, all stored.
MORE = both(sent(5, 6, 7, 8, 9), only(*range(1, 10)))
#: The sound run's dashboards see all of them.
ALL_OF_IT = both(*(shows(who, 9 + n, 4 + n) for who in ("wall", "screen") for n in range(1, 6)))
BOTH = both(MORE, ALL_OF_IT)
#: The one that gets the latest sees the last.
SEEN = both(MORE, shows("screen", 14, 9))
#: The eighth is stored nowhere.
EIGHTH = both(SEEN, only(*range(1, 8), 9), shows("wall", 12, 5, 6, 7))

PAIRS: Pairs = {
    "dashboards have no gaps unless notified": [
        (BOTH, MORE),
        (both(BOTH, watches("new", 14)), both(BOTH, watches("new", 13))),
        (
            both(BOTH, watches("new", 11, samples="none")),
            both(BOTH, watches("new", 11, samples="latest")),
        ),
        (
            both(BOTH, watches("new", 11, values=["rival"])),
            both(BOTH, watches("new", 11, values=["kiosk"])),
        ),
        (
            both(BOTH, watches("new", 11, scope={"project_id": "red"})),
            both(BOTH, watches("new", 11, scope={"project_id": ""})),
        ),
        (
            both(BOTH, watches("new")),
            both(BOTH, watches("new"), added(Changed(11, "new", [{**SUMMARY, "rev": 3}], []))),
        ),
        (  # only the last stretch must have had its turn
            both(BOTH, watches("new", 11), watches("new", 14)),
            both(BOTH, watches("new", 14), watches("new", 11)),
        ),
        # from the snapshot on
        (
            both(BOTH, watches("new", 13), shows("new", 14, 9)),
            both(BOTH, watches("new", 12), shows("new", 14, 9)),
        ),
        (
            both(BOTH, watches("new", 10), shows("new", 14, 9, conflated=True)),
            both(BOTH, watches("new", 10), shows("new", 14, 9)),
        ),
        (
            both(
                BOTH,
                watches("new", 10),
                watches("new", 11, recovered=True),
                shows("new", 14, 6, 7, 8, 9),
            ),
            both(BOTH, watches("new", 10), watches("new", 13, recovered=True), shows("new", 14, 9)),
        ),
        (
            both(
                BOTH,
                watches("new", 10),
                shows("new", 11, 6),
                watches("new", 13),
                shows("new", 14, 9),
            ),
            both(
                BOTH,
                watches("new", 10),
                shows("new", 11, 6, 8),
                watches("new", 13),
                shows("new", 14, 9),
            ),
        ),
        # by the value that came with the snapshot
        *(
            (
                both(
                    BOTH,
                    watches("new", 14, values_then={"kiosk": [value, 0.0]}),
                    shows("new", 20, *range(value + 1, 10)),
                ),
                both(
                    BOTH,
                    watches("new", 14, values_then={"kiosk": [value, 0.0]}),
                    shows("new", 20, *range(value + 2, 10)),
                ),
            )
            for value in (5, 6, 7)
        ),
        (
            both(
                BOTH,
                watches("new", 14, values_then={"kiosk": [5, 0.0]}),
                shows("new", 20, 9, conflated=True),
            ),
            both(
                BOTH,
                watches("new", 14, values_then={"kiosk": [5, 0.0], "x": [1, 0.0]}),
                shows("new", 20, 9),
            ),
        ),
        (
            both(BOTH, watches("new", 14, values_then={"x": [5, 0.0]}), shows("new", 20, 9)),
            both(
                BOTH,
                watches("new", 14, values_then={"x": [1, 0.0], "kiosk": [5, 0.0]}),
                shows("new", 20, 9),
            ),
        ),
        # in the middle
        (both(SEEN, shows("wall", 14, 5, 6, 7, 8, 9)), both(SEEN, shows("wall", 14, 5, 6, 8, 9))),
        (
            both(SEEN, shows("wall", 14, 5, 6, 7, 8, 9)),
            both(SEEN, shows("wall", 14, 5, 6, 6, 7, 8, 9)),
        ),
        (
            both(SEEN, shows("wall", 14, 5, 6, 7, 8, 9)),
            both(SEEN, shows("wall", 14, 5, 6, 7, 9, 8)),
        ),
        (both(SEEN, shows("wall", 14, 5, 6, 7, 8, 9)), both(SEEN, shows("wall", 14, 5, 6, 7, 8))),
        (both(SEEN, shows("wall", 14, 9, conflated=True)), both(SEEN, shows("wall", 14, 9))),
        (
            both(SEEN, shows("wall", 14, 7, conflated=True), shows("wall", 15, 8, 9)),
            both(SEEN, shows("wall", 14, 7, conflated=True), shows("wall", 15, 9)),
        ),
        (
            both(SEEN, shows("wall", 14, 7, conflated=True), shows("wall", 15, 9, conflated=True)),
            both(SEEN, shows("wall", 14, 9, conflated=True), shows("wall", 15, 9, conflated=True)),
        ),
        (nothing, shows("wall", 14, 3, conflated=True)),
        (shows("screen", 14, key="kiosk"), both(shows("screen", 14, 3), shows("screen", 15, 4))),
        # what is stored nowhere
        (nothing, shows("wall", 14, 77)),
        (unshown(2, showed(2, 2)), both(unshown(2, showed(77, 2)))),
        (
            both(watches("new", 14), shows("new", 15, 4)),
            both(watches("new", 14), shows("new", 15, 77), watches("new", 16)),
        ),
        *(
            (
                both(
                    EIGHTH,
                    shows("wall", 13, 8, conflated=True),
                    shows("wall", 15, 9, conflated=True),
                ),
                both(EIGHTH, more, shows("wall", 15, 9, conflated=True)),
            )
            for more in (
                shows("wall", 13, 8),
                both(shows("wall", 13, 8, conflated=True), shows("wall", 14, 8, conflated=True)),
                both(shows("wall", 13, 8, conflated=True), shows("wall", 14, 9)),
            )
        ),
        # by the revisions
        (shows("wall", 9, key="kiosk"), shows("wall", 6, key="kiosk")),
        (
            both(shows("wall", 9, key="x"), shows("wall", 10, key="x")),
            both(shows("wall", 9, key="x"), shows("wall", 9, key="x")),
        ),
        (
            both(shows("wall", 9), shows("wall", 10), shows("wall", 11)),
            both(shows("wall", 9), shows("wall", 8), shows("wall", 11)),
        ),
        (unshown(1, showed(1, 0)), unshown(1, showed(1, 2))),
        # a sender's own
        (
            shows("wall", 9, 1, 1, key="fault"),
            both(shows("wall", 9, 1, 1, key="rival"), sent(1, sender="rival", rev=0)),
        ),
        (
            both(
                shows("wall", 9, 1, 2, key="rival"),
                sent(1, 2, sender="rival"),
                data_of("rival", 1, 2),
            ),
            both(
                shows("wall", 9, 2, key="rival"), sent(1, 2, sender="rival"), data_of("rival", 1, 2)
            ),
        ),
        (  # of which the ack was lost
            both(
                watches("new", 9),
                shows("new", 20, 4),
                added(Acked(8.0, DEVICE, "kiosk", 3, 7, None)),
            ),
            both(
                watches("new", 2),
                shows("new", 20, 4),
                added(Acked(8.0, DEVICE, "kiosk", 3, 7, None)),
            ),
        ),
        # what a loss took need not be stored
        (both(loss(8), only(1, 4)), both(loss(7), only(1, 2))),
        (both(loss(7.1), only(1, 2, 3)), both(loss(7.09), only(1, 2, 3))),
        # before a dashboard watches for the first time nothing is judged
        (
            both(shows("late", 9, 4), shows("late", 9, 1)),
            both(watches("late", 9), shows("late", 10, 4), shows("late", 9, 1)),
        ),
        (
            added(Changed(9, "late", [SUMMARY], [])),
            both(BOTH, watches("late", 14), shows("late", 15, 1)),
        ),
    ],
    "dashboards get what they chose": [
        (shows("screen", 9, key="kiosk"), shows("screen", 9, 1, key="x")),
        (
            shows("wall", 9, 1, key="x"),
            added(Shown(9, "screen", DEVICE, 9, [["kiosk", 1, 0], ["x", 1, 0]], False)),
        ),
        (
            both(watches("new", samples="latest"), shows("new", 9, 1)),
            both(watches("new", samples="none"), shows("new", 9, 1)),
        ),
        (
            both(watches("new", scope={"project_id": ""}), shows("new", 9, 1)),
            both(watches("new", scope={"project_id": "red"}), shows("new", 9, 1)),
        ),
        (
            both(
                watches("new", scope={"sessions": ["x"]}), added(Shown(9, "new", "x", 9, [], False))
            ),
            both(
                watches("new", scope={"sessions": ["x"]}),
                added(Shown(9, "new", DEVICE, 9, [], False)),
            ),
        ),
        (
            both(
                watches("new", scope={"sessions": [DEVICE]}),
                added(Changed(9, "new", [SUMMARY], ["x"])),
            ),
            both(
                watches("new", scope={"sessions": [DEVICE]}),
                added(Changed(9, "new", [SUMMARY, {**SUMMARY, "session_id": "x"}], [])),
            ),
        ),
        (
            added(Changed(9, "unknown", [SUMMARY], [])),
            both(
                watches("unknown", scope={"sessions": []}),
                added(Changed(9, "unknown", [SUMMARY], [])),
            ),
        ),
    ],
    "dashboards end with the state that is true": [
        *(
            (view("wall", rev=99, other="x"), view(who, **{field: "x"}))
            for who in ("wall", "screen")
            for field in (
                *("state", "is_connected", "setup_version", "in_sync", "open_commands"),
                *("project_id", "session_name"),
            )
        ),
        *(
            (view("wall"), view("wall", **{field: value}))
            for field, value in (
                ("setup_version", 3),
                ("setup_version", 5),
                ("open_commands", -1),
                ("open_commands", 1),
            )
        ),
        *((sees_nothing(who, state="archived"), sees_nothing(who)) for who in ("wall", "screen")),
        (nothing, lambda e: e.views["screen"].update(ghost={**SUMMARY})),
        (nothing, lambda e: e.views["screen"].update({"a": {}, "b": {}})),
        (
            both(
                watches("wall", scope={"project_id": "red"}), lambda e: e.views["wall"].pop(DEVICE)
            ),
            watches("wall", scope={"project_id": "red"}),
        ),
        (
            both(
                watches("screen", scope={"project_id": "red"}),
                lambda e: e.views["screen"].pop(DEVICE),
            ),
            both(
                watches("wall", scope={"project_id": "red"}),
                lambda e: e.views["screen"].pop(DEVICE),
            ),
        ),
    ],
}
