"""Faults about people who come, go and look that are put into a sound run: promise → faults."""

from __future__ import annotations

from chaos.journal import (
    Changed,
    Disorder,
    Insisted,
    Refused,
    Registered,
    Reported,
    Shown,
    Superseded,
    Watched,
)
from chaos.wishes import Deleted, Joined, KickAsked, LateWrite
from tests.unit.chaos.checks.faults_of_commands import added, both, without
from tests.unit.chaos.checks.sound import DEVICE, SUMMARY, TAG, Plant

#: Sees another project.
NARROW = Watched(0.2, "narrow", False, {}, {"scope": {"project_id": "red"}})
#: Sees one other session.
ONE = Watched(0.2, "narrow", False, {}, {"scope": {"sessions": ["other"]}})

PLANTED: dict[str, list[Plant]] = {
    "acks come in the order of the updates": [added(Disorder(9.0, DEVICE, "kiosk", 4, 5))],
    "no earlier connection takes a session back": [
        added(Superseded(9.0, DEVICE, "kiosk", 6.9)),
        added(Superseded(9.0, DEVICE, "rival", 7.0)),
        added(Insisted(7.1, DEVICE, "kiosk", "result", True, 7.05)),
        added(Superseded(6.94, DEVICE, "kiosk", 0.8)),
    ],
    "who was sent away stays away, and comes back": [
        added(Registered(8.5, DEVICE, "kiosk", 11, 8, 4, True, False, 8.1)),
        added(Reported(8.8, DEVICE, "kiosk", 8.5, 1.0)),
        without(KickAsked),
        added(Refused(60.0, "kiosk", "register", "rate_limited", True)),
        added(Refused(8.3, "kiosk", "register", "rate_limited", True, 1.5)),
        added(Refused(7.8, "small", "updates", "rate_limited", True)),
    ],
    "what was deleted is gone": [
        added(LateWrite(9.9, "brief-1", "telemetry", True)),
        lambda e: e.summaries.update({"brief-1": {**SUMMARY, "session_id": "brief-1"}}),
        lambda e: e.keys.update({f"{TAG}session:brief-1": 5000}),
        lambda e: e.keys.update({f"{TAG}history:brief-1:count": 5000}),
        lambda e: (
            e.keys.update({f"{TAG}latest:brief-2": 5000})
            or e.entries.append(Deleted(9.9, "brief-2", 9.9))
        ),
    ],
    "clients are counted while they are there": [
        added(Joined(9.9, DEVICE, "visitor", 0, False)),
        lambda e: e.summaries[DEVICE].update(active_clients=1),
    ],
    "dashboards get what they chose": [
        added(Shown(9.9, "screen", DEVICE, 9, [["rival", 1, 0.0]], False)),
        both(
            added(Watched(9.0, "dark", False, {}, {"samples": "none"})),
            added(Shown(9.9, "dark", DEVICE, 9, [["kiosk", 1, 0.0]], False)),
        ),
        added(NARROW, Shown(9.9, "narrow", DEVICE, 9, [["kiosk", 1, 0.0]], False)),
        added(NARROW, Changed(9.9, "narrow", [SUMMARY], [])),
        added(ONE, Changed(9.9, "narrow", [SUMMARY], [])),
    ],
}
