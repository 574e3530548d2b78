"""The archive: every file that the index names is there, whole, and holds what was acked."""

from __future__ import annotations

from chaos.evidence import Evidence
from chaos.journal import Damaged, FaultBegan

#: After these Redis may have lost something that a file has: docs/operations.md keeps the file then.
LEAVE_FILES = frozenset(
    {"valkey killed", "redis emptied", "redis backup restored", "redis fell back"}
)


def whole(evidence: Evidence) -> list[str]:
    """Find what `muster archive verify` complains of or did not look at, and files too many."""
    verified = evidence.verified
    wrong = ["bad", "unreadable", "wrong"]
    if not LEAVE_FILES & {entry.fault for entry in evidence.of(FaultBegan)}:
        wrong.append("beside")
    found = [
        f"archive verify says {name}: {verified[name]}" for name in wrong if verified.get(name)
    ]
    looked = verified.get("checked", -1) >= sum(evidence.files.values())
    if not (verified.get("exit") == 0 and looked) and not found:
        found.append(f"archive verify failed: {verified}")
    return found


def damage_seen(evidence: Evidence) -> list[str]:
    """Find sessions that came back from a damaged file, or were shown from it."""
    return [
        f"{entry.device}: its file was {entry.damage}, and it came back with {entry.shown}"
        f"{', restored' if entry.restored else ''}"
        for entry in evidence.of(Damaged)
        if entry.restored or entry.shown
    ]
