"""The report of a run: counts, faults and findings, for a terminal of 80 columns."""

from __future__ import annotations

from collections import Counter

from chaos.checks import ALL
from chaos.evidence import Evidence
from chaos.journal import (
    Acked,
    Entry,
    FaultBegan,
    Lost,
    Measured,
    MustWatchAgain,
    Received,
    Refused,
    Registered,
    Reported,
    Sent,
    Shown,
    Watched,
)
from chaos.wishes import BulkDone, CancelTaken, Deleted, Kicked, OrderTaken, PutTaken, ResultTaken

#: Kind of entry → what a reader calls them.
COUNTED: dict[type[Entry], str] = {
    Registered: "registers",
    Sent: "updates sent, repeats included",
    Acked: "updates acked",
    Shown: "changes of data shown",
    Watched: "register_vue answered",
    MustWatchAgain: "resyncs",
    OrderTaken: "commands accepted",
    Received: "commands received, repeats included",
    BulkDone: "commands for many devices",
    ResultTaken: "results handed in later",
    CancelTaken: "commands cancelled, or too late",
    Reported: "requests of devices without a socket",
    Kicked: "devices sent away",
    Deleted: "sessions deleted",
    PutTaken: "setups accepted",
    Refused: "requests refused",
    Lost: "connections ended",
}


def findings_of(evidence: Evidence) -> dict[str, list[str]]:
    """Return what each check finds, by the promise that it checks."""
    return {promise: check(evidence) for promise, check in ALL.items()}


def text(seed: int, seconds: float, evidence: Evidence, findings: dict[str, list[str]]) -> str:
    """Return the report."""
    counts = Counter(type(entry) for entry in evidence.entries)
    faults = Counter(entry.fault for entry in evidence.of(FaultBegan))
    refusals = Counter(entry.code for entry in evidence.of(Refused))
    lines = [f"seed {seed}, {seconds:.0f} s of faults, {len(evidence.summaries)} sessions", ""]
    lines += [f"{counts[kind]:>9,}  {name}" for kind, name in COUNTED.items()]
    lines += [
        f"{entry.took_s:>9.1f}  s until it was detected that {entry.what}; promised "
        f"{entry.promised_s:.0f}, waited for a processor {entry.waited_s:.1f}"
        for entry in evidence.of(Measured)
    ]
    lines += [
        "",
        "refused: " + (_listed(refusals) or "none"),
        "faults: " + (_listed(faults) or "none"),
        "",
    ]
    for promise, found in findings.items():
        lines.append(f"{'FAILED' if found else 'holds '}  {promise}")
        lines += [f"          {one[:400]}" for one in found[:10]]
        if len(found) > 10:
            lines.append(f"          … and {len(found) - 10} more")
    return "\n".join(lines)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
