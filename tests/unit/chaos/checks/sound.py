"""A small run in which every promise was kept, for the tests of what judges runs, and ways to spoil it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from chaos.evidence import Evidence, documented_keys
from chaos.journal import (
    Acked,
    Changed,
    CommandShown,
    Contested,
    Damaged,
    Entry,
    Insisted,
    Measured,
    Received,
    Refused,
    RegisterAsked,
    Registered,
    Reported,
    Sent,
    Shown,
    Superseded,
    Watched,
)
from chaos.wishes import (
    Answered,
    BulkAsked,
    BulkDone,
    BulkTaken,
    CancelAsked,
    CancelTaken,
    Deleted,
    Joined,
    KickAsked,
    Kicked,
    LateWrite,
    Mismatched,
    Ordered,
    OrderTaken,
    Put,
    PutTaken,
    ResultTaken,
    SetupSeen,
)

_documented = functools.cache(documented_keys)
#: A fault that is put into a run.
Plant = Callable[[Evidence], object]

DEVICE, TAG = "kiosk", "muster:{0}:"
SUMMARY = {
    "session_id": DEVICE,
    "state": "inactive",
    "is_connected": False,
    "setup_version": 4,
    "open_commands": 0,
    "in_sync": True,
    "active_clients": 0,
    "project_id": "",
    "session_name": "",
    "rev": 8,
}


def order(at: float, number: int, ttl_s: float = 3600.0) -> list[Entry]:
    """An order of anna's, and that it was taken as command c1, c2, …"""
    key, name = f"anna-{number}", f"c{number}"
    return [
        Ordered(at, "anna", DEVICE, key, number, ttl_s),
        OrderTaken(at + 0.1, "anna", DEVICE, key, name, "queued"),
    ]


def iso(at: float) -> str:
    return f"2026-11-20T09:00:{at:06.3f}Z"


def row(
    number: int, status: str, began: float = 5, ended: float = 6, ends: float = 0, **more: Any
) -> dict[str, Any]:
    """A command as `GET …/commands` shows it; `ends`: an hour after its beginning."""
    until = iso(ends) if ends else iso(began).replace("T09", "T10")
    times = {"created_at": iso(began), "updated_at": iso(ended), "ends_at": until}
    return {"command_id": f"c{number}", "status": status, **times, **more}


def sound() -> Evidence:
    entries: list[Entry] = [
        Watched(0.0, "wall", False, {}),
        Watched(0.1, "screen", False, {}, {"values": ["kiosk"], "samples": "latest"}),
        Registered(1.0, DEVICE, "kiosk", 7, 0, 0, False, False, 0.9),
        Changed(1.1, "wall", [{**SUMMARY, "rev": 0, "state": "active"}], []),
    ]
    for count in (1, 2, 3):
        entries += [
            Sent(1.0 + count, DEVICE, "kiosk", "s1", count, count),
            Acked(1.1 + count, DEVICE, "kiosk", count, 7, count),
            Shown(1.2 + count, "wall", DEVICE, count, [["kiosk", count, 0.0]], False),
        ]
    entries += [
        Contested(4.5, "storm", 1),
        *order(5.0, 1),
        Received(5.2, DEVICE, "c1", 1, 1, "kiosk", 0.9),
        Answered(5.25, DEVICE, "kiosk", "c1", "ok"),
        CommandShown(5.3, "wall", "c1", "succeeded"),
        Mismatched(5.35, "anna-1", "c1", "idempotency_mismatch", "c1"),
        *order(5.4, 2),
        Received(5.6, DEVICE, "c2", 2, 1, "kiosk", 0.9),
        Answered(5.65, DEVICE, "kiosk", "c2", "ack"),
        CommandShown(5.7, "wall", "c2", "delivered"),
        Put(6.0, "bo", DEVICE, "bo-1", 0),
        PutTaken(6.1, "bo", DEVICE, "bo-1", 1, "bo-1"),
        Put(6.2, "bo", DEVICE, "bo-2", 1),
        PutTaken(6.3, "bo", DEVICE, "bo-2", 2, "bo-2"),
        SetupSeen(6.35, DEVICE, "kiosk", 2, "bo-2", 6.35),
        Put(6.4, "bo", DEVICE, "bo-3", 2, "undo"),
        PutTaken(6.5, "bo", DEVICE, "bo-3", 3, "bo-1"),
        Put(6.6, "bo", DEVICE, "bo-4", None, "redo"),
        PutTaken(6.7, "bo", DEVICE, "bo-4", 4, "bo-2"),
        RegisterAsked(0.9, DEVICE, "kiosk", 0.9),
        RegisterAsked(6.95, DEVICE, "kiosk", 6.95),
        Superseded(6.98, DEVICE, "kiosk", 0.8),
        Registered(7.0, DEVICE, "kiosk", 9, 5, 3, True, False, 6.95),
        Insisted(7.005, DEVICE, "kiosk", "result", False, 7.001),
        Insisted(7.005, DEVICE, "kiosk", "register", True, 7.001),
        SetupSeen(7.01, DEVICE, "kiosk", 4, "bo-2", 6.95),
        Answered(7.02, DEVICE, "kiosk", "c2", "failed"),
        ResultTaken(7.04, DEVICE, "kiosk", "c2", False, "failed"),
        CommandShown(7.05, "wall", "c2", "failed"),
        Sent(7.1, DEVICE, "kiosk", "s1", 4, 4),
        Acked(7.2, DEVICE, "kiosk", 4, 9, 6),
        Shown(7.3, "wall", DEVICE, 6, [["kiosk", 4, 0.0]], False),
        Shown(7.3, "screen", DEVICE, 6, [["kiosk", 4, 0.0]], False),
        *order(7.4, 3, ttl_s=2.0),
        *order(7.5, 4),
        CancelAsked(7.7, "anna", DEVICE, "c4"),
        CancelTaken(7.8, "anna", DEVICE, "c4", "cancelled"),
        CommandShown(7.8, "wall", "c4", "cancelled"),
        KickAsked(7.9, DEVICE, 1.0),
        Kicked(8.0, DEVICE, 1.0, 7.9),
        Refused(8.1, "kiosk", "register", "rate_limited", True),
        Changed(8.2, "wall", [SUMMARY], []),
        CommandShown(9.6, "wall", "c3", "expired"),
        Deleted(9.7, "brief-1", 9.6),
        LateWrite(9.8, "brief-1", "telemetry", False),
        BulkAsked(8.3, "bulk-1", 70, [DEVICE, "other"]),
        BulkTaken(8.4, "bulk-1", "b1"),
        BulkTaken(8.5, "bulk-1", "b1"),
        Received(8.6, DEVICE, "c5", 70, 1, "kiosk", 6.95),
        BulkDone(8.7, "bulk-1", 70, ["other", DEVICE], ["other"]),
        Joined(9.8, DEVICE, "visitor", 1, False),
        Joined(9.9, DEVICE, "visitor", 0, True),
        Reported(9.9, "small", "small", 9.85, 1.0),
        Measured(10.0, "a node died", 8.0, 9.0, 1.0),
        Damaged(10.1, "damaged-1", "cut", False, []),
    ]
    return Evidence(
        entries,
        sessions={
            DEVICE: {
                "data": {"kiosk": [[count, 0.0] for count in (1, 2, 3, 4)]},
                "setup_version": 4,
                "setup": {"mark": "bo-2"},
            }
        },
        commands={
            DEVICE: [
                row(1, "succeeded", result={"number": 1}),
                row(2, "failed", error={"number": 2}),
                row(3, "expired", 7.5, 9.6, 9.5),
                row(4, "cancelled"),
                row(5, "succeeded", params={"number": 70}, result={"number": 70}),
            ]
        },
        summaries={DEVICE: dict(SUMMARY)},
        indexes={TAG: {"active": [], "inactive": [DEVICE], "archived": ["old"]}},
        keys={
            f"{TAG}session:{DEVICE}": 5000,
            f"{TAG}inactive": -1,
            "rq:queue:x": -1,
            f"{TAG}tombstone:brief-1": 5000,
        },
        files={"kiosk.1.zst": True},
        views={"wall": {DEVICE: dict(SUMMARY)}, "screen": {DEVICE: dict(SUMMARY)}},
        verified={"exit": 0, "bad": 0, "checked": 1},
        logs={"node 0": []},
        leftovers={"node 0": {"MiB of memory": (70.0, 90.0), "connections": (0, 0)}},
        patterns=_documented(),
    )


def replaced(evidence: Evidence, old: Callable[[Any], bool], *new: Entry) -> None:
    """Puts entries in the place of the first one that fits."""
    index = next(i for i, entry in enumerate(evidence.entries) if old(entry))
    evidence.entries[index : index + 1] = new


def shown(count: int) -> Callable[[Any], bool]:
    return lambda e: isinstance(e, Shown) and e.samples[0][1] == count


def history(evidence: Evidence, *counts: int) -> None:
    evidence.sessions[DEVICE]["data"]["kiosk"] = [[count, 0.0] for count in counts]
