"""Times: what the README promises to happen within a time, and what is left of it in the end.

A time that was measured is compared with the promise plus what the machine took: how long the thread
that waited longest was ready to run without a processor. On a quiet machine that is nothing; while
others work there each second of it can come on top, because a lease is renewed, expired and seen by
threads that must run for it.
"""

from __future__ import annotations

from chaos.evidence import Evidence
from chaos.journal import Measured

#: How exactly a run measures: it looks every 0.1 s, over connections of its own.
LOOKS_S = 0.5


def kept(evidence: Evidence) -> list[str]:
    """Find detections that took longer than promised."""
    return [
        f"{entry.what}: detected after {entry.took_s:.1f} s, promised are {entry.promised_s:.1f} s"
        f" (a thread waited {entry.waited_s:.1f} s for a processor)"
        for entry in evidence.of(Measured)
        if entry.took_s > entry.promised_s + entry.waited_s + LOOKS_S
    ]


def all_ended(evidence: Evidence) -> list[str]:
    """Find what has not ended although the faults are over: people, commands, sessions, dashboards."""
    return evidence.unfinished
