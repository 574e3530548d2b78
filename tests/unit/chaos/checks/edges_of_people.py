"""Pairs of runs that differ by one thing, of people, samples and places: promise → what keeps it, and what does not."""

from __future__ import annotations

from typing import Any

from chaos.checks import archive
from chaos.evidence import Evidence
from chaos.journal import (
    Acked,
    Contested,
    Damaged,
    DataLost,
    FaultBegan,
    Measured,
    Refused,
    RegisterAsked,
    Registered,
    Reported,
    Sent,
    Superseded,
)
from chaos.wishes import Deleted, Joined, KickAsked, Kicked, LateWrite
from tests.unit.chaos.checks.faults_of_commands import added, both
from tests.unit.chaos.checks.sound import DEVICE, TAG, Plant, history

Pairs = dict[str, list[tuple[Plant, Plant]]]


def fault(name: str) -> Plant:
    return added(FaultBegan(0.1, name, ""))


def loss(at: float, since: float = -1.0) -> Plant:
    return added(DataLost(at, since, {}))


def verified(**said: Any) -> Plant:
    return lambda evidence: evidence.verified.update(said)


def came(asked_at: float, at: float, device: str = DEVICE) -> Plant:
    return added(Registered(at, device, device, 50, 8, 4, True, False, asked_at))


def reported(asked_at: float, at: float) -> Plant:
    return added(Reported(at, DEVICE, "kiosk", asked_at, 1.0))


def refused(at: float, retry_after_s: float = 0.0, who: str = "kiosk", **other: str) -> Plant:
    said = {"event": "register", "code": "rate_limited", **other}
    return added(Refused(at, who, said["event"], said["code"], True, retry_after_s))


def sent_away(at: float, away_s: float, device: str = DEVICE) -> Plant:
    return added(KickAsked(at, device, away_s), Kicked(at + 0.1, device, away_s, at))


def kick_asked(at: float, away_s: float, device: str = DEVICE) -> Plant:
    """The answer is missing."""
    return added(KickAsked(at, device, away_s))


def key(name: str, ttl_ms: int = 5000) -> Plant:
    return lambda evidence: evidence.keys.update({name: ttl_ms})


def acked(at: float, generation: int, rev: int | None, count: int = 9) -> Plant:
    return added(
        Sent(at - 0.1, DEVICE, "kiosk", "s1", count, count),
        Acked(at, DEVICE, "kiosk", count, generation, rev),
    )


def superseded(at: float, connected_at: float, *asked: tuple[str, float]) -> Plant:
    """A third one is superseded, after these of its device asked to register, all connected at 12."""
    asks = [RegisterAsked(when, DEVICE, who, 12.0) for who, when in asked]
    return added(*asks, Superseded(at, DEVICE, "third", connected_at))


def held(name: str, before: float, after: float) -> Plant:
    return lambda evidence: evidence.leftovers["node 0"].update({name: (before, after)})


def only(*counts: int) -> Plant:
    return lambda evidence: history(evidence, *counts)


def data_of(key: str, *counts: int) -> Plant:
    def store(evidence: Evidence) -> None:
        evidence.sessions[DEVICE]["data"][key] = [[count, 0.0] for count in counts]

    return store


def nothing(evidence: Evidence) -> None:
    """Leaves all as it is."""


def index(**ids: list[str]) -> Plant:
    return lambda evidence: evidence.indexes[TAG].update(ids)


PAIRS: Pairs = {
    "the archive is whole": [
        (nothing, verified(bad=1)),
        (nothing, verified(unreadable=1)),
        (nothing, verified(wrong=[{"name": "x"}])),
        (nothing, lambda e: e.verified.clear()),
        (nothing, lambda e: e.verified.pop("exit")),
        (nothing, verified(exit=1)),
        (verified(checked=2), verified(checked=0)),
        (verified(beside=[]), verified(beside=["x"])),
        *(
            (both(fault(name), verified(beside=["x"])), both(fault(name), verified(bad=1)))
            for name in sorted(archive.LEAVE_FILES)
        ),
        (nothing, both(fault("node killed"), verified(beside=["x"]))),
        (nothing, both(fault("valkey killed"), verified(exit=1))),
    ],
    "a damaged file is seen": [
        (nothing, added(Damaged(9.0, "x", "cut", True, []))),
        (added(Damaged(9.0, "x", "cut", False, [])), added(Damaged(9.0, "x", "cut", False, [1]))),
    ],
    "who was sent away stays away, and comes back": [
        (came(8.0, 8.5), came(8.01, 8.5)),  # what was asked before is no business of it
        (came(8.1, 8.9), came(8.1, 8.89)),
        (reported(8.0, 8.5), reported(8.01, 8.5)),
        (reported(8.1, 8.9), reported(8.1, 8.89)),
        (came(8.1, 8.5, "other"), both(sent_away(7.9, 5.0, "other"), came(8.1, 8.5, "other"))),
        (both(sent_away(20, 1), came(20.2, 21)), both(sent_away(20, 1), came(20.2, 20.9))),
        (
            both(sent_away(20, 1), sent_away(30, 1), came(21.2, 21.9)),
            both(sent_away(20, 3), sent_away(30, 1), came(21.2, 21.9)),
        ),
        # one for less that may have been carried out after it
        (both(kick_asked(7, 0.1), came(8.1, 8.5)), both(sent_away(7, 0.1), came(8.1, 8.5))),
        (both(kick_asked(7, 0.6), came(8.1, 8.5)), both(kick_asked(7, 0.61), came(8.1, 8.5))),
        (both(kick_asked(7, 0.1), came(8.1, 8.5)), both(kick_asked(7, 0.1, "x"), came(8.1, 8.5))),
        (both(sent_away(8.05, 0.4), came(8.1, 8.5)), both(sent_away(8.05, 0.5), came(8.1, 8.5))),
        (
            both(kick_asked(7, 0.1), added(Kicked(7.91, DEVICE, 0.1, 7)), came(8.1, 8.5)),
            both(kick_asked(7, 0.1), added(Kicked(7.9, DEVICE, 0.1, 7)), came(8.1, 8.5)),
        ),
        *(  # which is the answer to another one
            (
                both(kick_asked(7, 0.1), sent_away(*other), came(8.1, 8.5)),
                both(kick_asked(7, 0.1), sent_away(7, 0.1), came(8.1, 8.5)),
            )
            for other in ((6.95, 0.2), (6.8, 0.1), (7.05, 0.1), (6.95, 0.1, "x"))
        ),
        (
            both(kick_asked(10.1, 0.1), sent_away(40, 5), came(41, 42)),
            both(kick_asked(10.0, 0.1), sent_away(40, 5), came(41, 42)),
        ),
        (both(fault("redis clock"), came(8.1, 8.5)), both(fault("redis cut"), came(8.1, 8.5))),
        (both(fault("redis clock"), refused(99)), both(fault("redis cut"), refused(99))),
        (both(loss(8.3), came(8.1, 8.5)), both(loss(7.8), came(8.1, 8.5))),
        (refused(8.1, 1.0), refused(8.1, 1.01)),
        (refused(38.8), refused(38.91)),
        (refused(7.95), refused(7.9)),
        (refused(99, code="draining"), refused(99)),
        (refused(99, event="register_vue"), refused(99, event="updates")),
        (both(sent_away(98.9, 1), refused(99)), both(sent_away(99, 1), refused(99))),
        (
            both(sent_away(98, 1, "other"), refused(99, who="other")),
            both(sent_away(98, 1), refused(99, who="other")),
        ),
        (  # under the id of another one
            both(added(RegisterAsked(1.0, DEVICE, "rival", 1.0)), refused(8.1, who="rival")),
            both(added(RegisterAsked(1.0, "x", "rival", 1.0)), refused(8.1, who="rival")),
        ),
    ],
    "what was deleted is gone": [
        (
            added(LateWrite(9.9, "other", "read", True)),
            added(LateWrite(9.9, "brief-1", "read", True)),
        ),
        *(
            (key(f"{TAG}{kind}:brief-1"), key(f"{TAG}history:brief-1:{kind}s"))
            for kind in ("tombstone", "closed", "staging", "registers", "kicked")
        ),
        (key("other:session:brief-1"), key("muster:session:brief-1")),
        (key(f"{TAG}session:brief-11"), key(f"{TAG}latest:brief-1")),
        (
            lambda e: e.summaries.update({"brief-2": {}}),
            lambda e: e.summaries.update({"brief-1": {}}),
        ),
        *(  # a loss may bring back what was deleted before it, and nothing else
            (
                both(loss(at), added(LateWrite(12, "brief-1", "read", True))),
                both(loss(9.59), added(LateWrite(12, "brief-1", "read", True))),
            )
            for at in (9.6, 9.65, 9.7, 9.8)
        ),
        (
            both(
                added(Deleted(11, "b", 10.9)), loss(11, 11), added(LateWrite(12, "b", "read", True))
            ),
            both(
                added(Deleted(11.1, "b", 11)), loss(10.9), added(LateWrite(12, "b", "read", True))
            ),
        ),
    ],
    "clients are counted while they are there": [
        (added(Joined(9.9, "x", "v", 1, False)), added(Joined(9.9, "x", "v", 0, False))),
        (
            lambda e: e.summaries.update({"x": {}}),
            lambda e: e.summaries.update({"x": {"active_clients": 2}}),
        ),
    ],
    "one owner at a time": [
        (added(Contested(9, "x", 1)), added(Contested(9, "x", 2))),
        (added(Contested(9, "x", 0)), added(Contested(9, "x", 3))),
        (
            added(Registered(9, DEVICE, "rival", 10, 0, 0, False, False)),
            added(Registered(9, DEVICE, "rival", 7, 0, 0, False, False)),
        ),
        (
            added(Registered(9, "other", "kiosk", 7, 0, 0, False, False)),
            both(
                added(Registered(9, "other", "kiosk", 7, 0, 0, False, False)),
                added(Registered(9, "other", "rival", 7, 0, 0, False, False)),
            ),
        ),
        (acked(9, 9, 7), acked(9, 8, 7)),
        (acked(9, 9, 7), acked(9, 9, 6)),
        (acked(9, 7, None), acked(9, 7, 7)),
        (both(acked(9, 7, 7), loss(8.95, 8.7)), both(acked(9, 7, 7), loss(6.95))),
        (both(acked(9, 10, 6), loss(8.95, 8.7)), both(acked(9, 10, 6), loss(6.95))),
        (  # what was sent again after the loss may be older than it
            both(acked(9, 7, 7), loss(8.95, 8.7), added(Sent(8.96, DEVICE, "kiosk", "s1", 9, 9))),
            both(acked(9, 7, 7), loss(8.8, 8.7)),
        ),
        (
            both(acked(9, 9, 7), acked(9.5, 10, 8, 10)),
            both(acked(9, 11, 7), acked(9.5, 10, 8, 10)),
        ),
    ],
    "no earlier connection takes a session back": [
        (superseded(20, 11.9, ("rival", 19)), superseded(20, 12.0, ("rival", 19))),
        (superseded(20, 11.9, ("rival", 19.9)), superseded(20, 11.9, ("rival", 20))),
        (superseded(20, 11, ("third", 18), ("rival", 19)), superseded(20, 11, ("third", 18))),
        (superseded(20, 11, ("third", 18), ("third", 19)), superseded(20, 11)),
        (superseded(20, 11, ("rival", 18), ("third", 19)), superseded(20, 12, ("rival", 18))),
        (both(superseded(20, 11), loss(15)), both(superseded(20, 11), loss(20))),
        (both(superseded(20, 11), loss(19.9)), both(superseded(20, 11), loss(11))),
    ],
    "no acked sample is missing": [
        (nothing, only(2, 3, 4)),
        (nothing, only(1, 2, 3)),
        (only(4, 3, 2, 1), only()),
        (both(acked(9, 9, 7), only(1, 2, 3, 4, 9)), acked(9, 9, 7)),
        (both(acked(9, 9, None), only(1, 2, 3, 4, 9)), acked(9, 9, None)),
        (
            both(
                data_of("rival", 1),
                added(Sent(9, DEVICE, "rival", "r", 1, 1), Acked(9, DEVICE, "rival", 1, 9, 9)),
            ),
            added(Sent(9, DEVICE, "rival", "r", 1, 1), Acked(9, DEVICE, "rival", 1, 9, 9)),
        ),
        (nothing, added(Acked(9, "other", "kiosk", 1, 9, 9))),
        (added(Sent(9, DEVICE, "kiosk", "s1", 9, 9)), acked(9, 9, 9)),
    ],
    "no sample is stored twice, or out of order": [
        (only(1, 3, 4), only(1, 4, 3)),
        (only(1), only(1, 1)),
        (only(), only(1, 2, 3, 4, 4)),
        (
            both(data_of("rival", 1, 2), added(Sent(9, DEVICE, "rival", "r", 1, 1))),
            both(data_of("rival", 2, 2), added(Sent(9, DEVICE, "rival", "r", 1, 1))),
        ),
    ],
    "no other sample is stored than was sent": [
        (only(1, 4), only(1, 5)),
        (only(), only(0)),
        (data_of("rival"), data_of("rival", 1)),
        (
            both(data_of("rival", 1), added(Sent(9, DEVICE, "rival", "r", 1, 1))),
            both(data_of("rival", 1), added(Sent(9, "other", "rival", "r", 1, 1))),
        ),
        (
            lambda e: e.sessions.update(noise={"data": {"noise": [[1, 0.0]]}}),
            both(
                lambda e: e.sessions.update(noise={"data": {"noise": [[1, 0.0]]}}),
                added(Sent(9, "noise", "noise", "n", 2, 2)),
            ),
        ),
    ],
    "failures are detected in time": [
        (added(Measured(9, "x", 8, 9.5, 1)), added(Measured(9, "x", 8, 9.51, 1))),
        (added(Measured(9, "x", 8, 8.5, 0)), added(Measured(9, "x", 8, 8.51, 0))),
    ],
    "nothing is held when all have left": [
        (held("MiB of memory", 70, 134), held("MiB of memory", 70, 134.1)),
        (held("descriptors", 15, 90), held("descriptors", 15, 91)),
        (held("threads", 20, 24), held("threads", 20, 25)),
        (held("children", 0, 2), held("children", 0, 3)),
        (held("devices", 1, 1), held("devices", 0, 1)),
        (held("devices", 5, 0), held("dashboards", 5, 6)),
        (
            lambda e: e.leftovers.update({"worker 0": {"threads": (3.0, 2.0)}}),
            lambda e: e.leftovers.update({"worker 0": {"x": (0, 0), "threads": (1.0, 9.0)}}),
        ),
    ],
    "every session is in one place": [
        (nothing, index(active=[DEVICE])),
        (nothing, index(archived=["old", DEVICE])),
        (nothing, index(archived=["old", "old"])),
        (nothing, index(inactive=[DEVICE, "unknown"])),
        (nothing, index(active=["unknown"])),
        (nothing, index(archived=[])),
        (
            both(index(archived=["old", "b"]), lambda e: e.files.update({"b.zst": True})),
            index(archived=["old", "b"]),
        ),
        (
            both(index(inactive=[DEVICE, "b"]), key(f"{TAG}session:b")),
            key(f"{TAG}session:b"),
        ),
        (key(f"{TAG}latest:b"), key(f"{TAG}session:{DEVICE}:b")),
        (
            lambda e: e.indexes.update(
                {"muster:{1}:": {"active": [], "inactive": [], "archived": []}}
            ),
            lambda e: e.indexes.update(
                {"muster:{1}:": {"active": [], "inactive": [DEVICE], "archived": []}}
            ),
        ),
        (key("muster:{1}:session:b"), key(f"{TAG}session:b")),  # of an index that was not read
        (nothing, lambda e: e.files.update({"kiosk.1.zst": False})),
        (nothing, lambda e: e.files.clear()),
        (both(came(8.8, 8.9, "x"), lambda e: e.summaries.update(x={})), came(8.8, 8.9, "x")),
        (both(came(8.8, 8.9, "x"), loss(8.9)), both(came(8.8, 8.9, "x"), loss(8.8))),
        (both(came(8.8, 8.9, "x"), loss(9, 8.8)), both(came(8.8, 8.9, "x"), loss(9, 8.9))),
    ],
    "keys are documented, and have their TTL": [
        (key("rq:anything"), key("muster:rq:anything", -1)),
        (key("muster:{mq}", -1), key("muster:{mp}", -1)),
        (key("muster:{mq}:3f"), key("muster:{mq}:3f", -1)),
        (key(f"{TAG}session:b"), key(f"{TAG}session:b", -1)),
        (key(f"{TAG}session:b", 0), key(f"{TAG}session:")),
        (key(f"{TAG}active", -1), key(f"{TAG}active", 1)),
        (key(f"{TAG}active", -1), key(f"{TAG}activex", -1)),
        (key(f"{TAG}active", -1), key(f"other:{TAG}active", -1)),
        (key(f"{TAG}active", -1), key("muster:active", -1)),
        (key(f"{TAG}active", -1), key("muster:{0:active", -1)),
    ],
}
