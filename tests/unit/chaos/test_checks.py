"""The checks of a run: each cries out at a planted fault, and none at a run in which all is well."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from chaos.checks import ALL
from chaos.evidence import Evidence, documented_keys
from chaos.journal import (
    Acked,
    Changed,
    CommandShown,
    Contested,
    Damaged,
    Entry,
    Measured,
    Ordered,
    OrderTaken,
    Put,
    PutTaken,
    Received,
    Registered,
    Sent,
    Shown,
    Watched,
)

DEVICE, TAG = "kiosk", "muster:{0}:"
SUMMARY = {
    "session_id": DEVICE,
    "state": "inactive",
    "is_connected": False,
    "setup_version": 2,
    "open_commands": 0,
    "project_id": "",
    "session_name": "",
    "rev": 8,
}


def sound() -> Evidence:
    """A small run in which every promise was kept."""
    entries: list[Entry] = [
        Watched(0.0, "wall", False, {}),
        Registered(1.0, DEVICE, "kiosk", 7, 0, 0, False, False),
        Changed(1.1, "wall", [{**SUMMARY, "rev": 0, "state": "active"}], []),
    ]
    for count in (1, 2, 3):
        entries += [
            Sent(1.0 + count, DEVICE, "kiosk", "s1", count, count),
            Acked(1.1 + count, DEVICE, "kiosk", count, 7, count),
            Shown(1.2 + count, "wall", DEVICE, count, [["kiosk", count, 0.0]], False),
        ]
    entries += [
        Ordered(5.0, "anna", DEVICE, "anna-1", 1),
        OrderTaken(5.1, "anna", DEVICE, "anna-1", "c1", "queued"),
        Received(5.2, DEVICE, "c1", 1, 1),
        CommandShown(5.3, "wall", "c1", "succeeded"),
        Ordered(5.4, "anna", DEVICE, "anna-2", 2),
        OrderTaken(5.5, "anna", DEVICE, "anna-2", "c2", "queued"),
        Received(5.6, DEVICE, "c2", 2, 1),
        CommandShown(5.7, "wall", "c2", "succeeded"),
        Put(6.0, "bo", DEVICE, "bo-1", 0),
        PutTaken(6.1, "bo", DEVICE, "bo-1", 1, "bo-1"),
        Put(6.2, "bo", DEVICE, "bo-2", 1),
        PutTaken(6.3, "bo", DEVICE, "bo-2", 2, "bo-2"),
        Registered(7.0, DEVICE, "kiosk", 9, 5, 3, True, False),
        Sent(7.1, DEVICE, "kiosk", "s1", 4, 4),
        Acked(7.2, DEVICE, "kiosk", 4, 9, 6),
        Shown(7.3, "wall", DEVICE, 6, [["kiosk", 4, 0.0]], False),
        Changed(8.0, "wall", [SUMMARY], []),
    ]
    return Evidence(
        entries,
        sessions={
            DEVICE: {
                "data": {"kiosk": [[count, 0.0] for count in (1, 2, 3, 4)]},
                "setup_version": 2,
                "setup": {"mark": "bo-2"},
            }
        },
        commands={DEVICE: [{"command_id": c, "status": "succeeded"} for c in ("c1", "c2")]},
        summaries={DEVICE: dict(SUMMARY)},
        indexes={TAG: {"active": [], "inactive": [DEVICE], "archived": []}},
        keys={f"{TAG}session:{DEVICE}": 5000, f"{TAG}inactive": -1, "rq:queue:x": -1},
        views={"wall": {DEVICE: dict(SUMMARY)}},
        verified={"exit": 0, "bad": [], "checked": 0},
        logs={"node 0": []},
        leftovers={"node 0": {"MiB of memory": (70.0, 90.0), "connections": (0, 0)}},
        patterns=documented_keys(),
    )


def test_sound_run_has_no_findings() -> None:
    assert {promise: check(sound()) for promise, check in ALL.items() if check(sound())} == {}


def replaced(evidence: Evidence, old: Callable[[Any], bool], *new: Entry) -> None:
    """Puts entries in the place of the first one that fits."""
    index = next(i for i, entry in enumerate(evidence.entries) if old(entry))
    evidence.entries[index : index + 1] = new


def shown(count: int) -> Callable[[Any], bool]:
    return lambda e: isinstance(e, Shown) and e.samples[0][1] == count


def history(evidence: Evidence, *counts: int) -> None:
    evidence.sessions[DEVICE]["data"]["kiosk"] = [[count, 0.0] for count in counts]


def late_ack_of_old_owner(evidence: Evidence) -> None:
    evidence.entries += [
        Sent(9.0, DEVICE, "kiosk", "s1", 5, 5),
        Acked(9.1, DEVICE, "kiosk", 5, 7, 7),
    ]
    history(evidence, 1, 2, 3, 4, 5)


def one_generation_for_two(evidence: Evidence) -> None:
    evidence.entries.append(Registered(9.0, DEVICE, "rival", 9, 5, 0, True, False))


def one_rev_for_two(evidence: Evidence) -> None:
    replaced(
        evidence,
        lambda e: isinstance(e, Acked) and e.count == 2,
        Acked(3.1, DEVICE, "kiosk", 2, 7, 1),
    )


def two_snapshots(evidence: Evidence) -> None:
    """The second says that it has revision 2; then revision 3 is not shown."""
    replaced(evidence, shown(3), Watched(4.15, "wall", False, {DEVICE: {**SUMMARY, "rev": 2}}))


def stale_view(evidence: Evidence) -> None:
    evidence.views["wall"][DEVICE]["state"] = "active"


def lost_setup(evidence: Evidence) -> None:
    evidence.sessions[DEVICE]["setup_version"] = 1


def row(**more: Any) -> dict[str, Any]:
    return {"command_id": "c1", "status": "succeeded", **more}


PLANTED: dict[str, list[Callable[[Evidence], object]]] = {
    "no acked sample is missing": [
        lambda e: history(e, 1, 2, 4),
        lambda e: e.sessions.clear(),
    ],
    "no sample is stored twice, or out of order": [
        lambda e: history(e, 1, 2, 2, 3, 4),
        lambda e: history(e, 1, 3, 2, 4),
    ],
    "no other sample is stored than was sent": [lambda e: history(e, 1, 2, 3, 4, 5)],
    "one owner at a time": [
        *(late_ack_of_old_owner, one_generation_for_two, one_rev_for_two),
        lambda e: e.entries.append(Contested(9.0, "storm", 2)),
    ],
    "dashboards have no gaps unless notified": [
        lambda e: replaced(e, shown(2)),  # in the middle
        lambda e: replaced(e, shown(4)),  # at the end
        lambda e: replaced(e, shown(1)),  # at the beginning
        lambda e: replaced(
            e, shown(2), *[Shown(3.2, "wall", DEVICE, 2, [["kiosk", 2, 0]], False)] * 2
        ),
        lambda e: replaced(e, shown(3), Shown(4.2, "wall", DEVICE, 1, [["kiosk", 3, 0]], False)),
        two_snapshots,
    ],
    "dashboards end with the state that is true": [
        stale_view,
        lambda e: e.views["wall"].clear(),
        lambda e: e.views["wall"].update(ghost=dict(SUMMARY)),
    ],
    "every command ends in one final status": [
        lambda e: e.entries.append(CommandShown(9.0, "wall", "c1", "expired")),
        lambda e: e.commands.update({DEVICE: [row(), row(command_id="c2", status="failed")]}),
        lambda e: e.entries.append(OrderTaken(9.0, "anna", DEVICE, "anna-3", "c3", "queued")),
        lambda e: replaced(e, lambda entry: isinstance(entry, Received)),
    ],
    "commands arrive, in order, and a repeated request is one command": [
        lambda e: e.entries.append(OrderTaken(9.0, "anna", DEVICE, "anna-1", "c9", "queued")),
        lambda e: e.entries.append(Received(9.0, DEVICE, "c1", 1, 1)),
        lambda e: replaced(
            e,
            lambda entry: isinstance(entry, Received),
            Received(5.15, DEVICE, "c2", 2, 1),
            Received(5.2, DEVICE, "c1", 1, 1),
        ),
        lambda e: replaced(
            e, lambda entry: isinstance(entry, Received), Received(5.2, DEVICE, "c1", 2, 1)
        ),
    ],
    "no accepted setup is lost, and its answer is its own": [
        lost_setup,
        lambda e: e.sessions[DEVICE].update(setup={"mark": "somebody else's"}),
        lambda e: replaced(
            e, lambda x: isinstance(x, PutTaken), PutTaken(6.1, "bo", DEVICE, "bo-1", 1, "ed-1")
        ),
        lambda e: e.entries.append(PutTaken(9.0, "bo", DEVICE, "bo-1", 2, None)),
        lambda e: replaced(
            e, lambda x: isinstance(x, PutTaken), PutTaken(6.1, "bo", DEVICE, "bo-1", 3, "bo-1")
        ),
        lambda e: e.sessions[DEVICE].update(setup_version=7),
    ],
    "every session is in one place": [
        lambda e: e.indexes[TAG]["active"].append(DEVICE),
        lambda e: e.indexes[TAG]["inactive"].clear(),
        lambda e: e.indexes[TAG].update(inactive=[], archived=[DEVICE]),
        lambda e: e.keys.pop(f"{TAG}session:{DEVICE}"),
        lambda e: e.files.update({"kiosk.1.zst": False}),
        lambda e: e.summaries.clear(),
    ],
    "keys are documented, and have their TTL": [
        lambda e: e.keys.update({f"{TAG}session:{DEVICE}": -1}),
        lambda e: e.keys.update({f"{TAG}inactive": 5000}),
        lambda e: e.keys.update({f"{TAG}strange:{DEVICE}": 5000}),
    ],
    "the archive is whole": [
        lambda e: e.verified.update(bad=["kiosk.1.zst"]),
        lambda e: e.verified.update(exit=1),
        lambda e: e.verified.update(beside=["kiosk.1.zst"]),
    ],
    "a damaged file is seen": [
        lambda e: e.entries.append(Damaged(9.0, "damaged-1", "cut", True, [])),
        lambda e: e.entries.append(Damaged(9.0, "damaged-1", "flipped", False, ["count"])),
    ],
    "failures are detected in time": [
        lambda e: e.entries.append(Measured(9.0, "a node died", 8.0, 9.0, 0.1)),
    ],
    "all comes to its end when faults are over": [
        lambda e: e.unfinished.append("not all sessions archived within 60 s"),
    ],
    "nothing is held when all have left": [
        lambda e: e.leftovers["node 0"].update({"MiB of memory": (70.0, 140.0)}),
        lambda e: e.leftovers["node 0"].update({"descriptors": (15, 120)}),
        lambda e: e.leftovers["node 0"].update({"connections": (0, 1)}),
    ],
    "no error without a reason": [
        lambda e: e.logs["node 0"].append('{"level": "error", "event": "x"}'),
        lambda e: e.logs["node 0"].append("Traceback (most recent call last):"),
    ],
}


def test_every_check_has_planted_faults() -> None:
    assert PLANTED.keys() == ALL.keys()


@pytest.mark.parametrize(
    ("promise", "number"),
    [(promise, number) for promise, plants in PLANTED.items() for number in range(len(plants))],
)
def test_planted_fault_is_found(promise: str, number: int) -> None:
    evidence = copy.deepcopy(sound())
    PLANTED[promise][number](evidence)
    assert ALL[promise](evidence) != []


def test_keys_of_a_restore_that_was_cut_off_are_documented() -> None:
    """Found by `make chaos SEED=111`: they stay for a minute when a node is killed in a restore."""
    evidence = sound()
    evidence.keys |= {f"{TAG}staging:0f5a:{key}": 60_000 for key in ("timeline", "history:kiosk:k")}
    assert ALL["keys are documented, and have their TTL"](evidence) == []


def test_conflated_dashboard_may_skip_but_not_go_back() -> None:
    evidence = sound()
    replaced(evidence, shown(2))
    replaced(evidence, shown(3), Shown(4.2, "wall", DEVICE, 3, [["kiosk", 3, 0.0]], True))
    check = ALL["dashboards have no gaps unless notified"]
    assert check(evidence) == []
    replaced(evidence, shown(4), Shown(7.3, "wall", DEVICE, 6, [["kiosk", 2, 0.0]], True))
    assert check(evidence) != []


def test_error_that_a_fault_explains_is_no_finding() -> None:
    evidence = sound()
    evidence.logs["node 0"].append('{"level": "error", "event": "Redis went away"}')
    evidence.explained = ("Redis went away",)
    assert ALL["no error without a reason"](evidence) == []
