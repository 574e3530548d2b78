"""Setups: each accepted change has a version of its own and is answered with itself."""

from __future__ import annotations

from collections import defaultdict

from chaos.evidence import Evidence
from chaos.journal import Put, PutTaken


def none_lost(evidence: Evidence) -> list[str]:
    """Find versions given twice, answers with another editor's document, changes that vanished."""
    found: list[str] = []
    loss = evidence.last_loss
    puts = {put.mark: put for put in evidence.of(Put)}
    taken: dict[str, dict[int, PutTaken]] = defaultdict(dict)
    for entry in evidence.of(PutTaken):
        if loss.may_have(puts[entry.mark].at, entry.at):
            continue
        before = taken[entry.device].setdefault(entry.version, entry)
        if before is not entry:
            found.append(
                f"{entry.device}: version {entry.version} is {before.mark} and {entry.mark}"
            )
        if entry.answered_mark not in (None, entry.mark):
            found.append(f"{entry.device}: {entry.mark} was answered with {entry.answered_mark}")
        wanted = puts[entry.mark].version
        if wanted is not None and entry.version != wanted + 1:
            found.append(
                f"{entry.device}: {entry.mark} replaced {wanted} and became {entry.version}"
            )
    unanswered: dict[str, int] = defaultdict(int)
    for put in puts.values():
        unanswered[put.device] += 1
    for device, versions in taken.items():
        session = evidence.sessions.get(device, {})
        final, highest = session.get("setup_version", 0), max(versions)
        if final < highest:
            found.append(f"{device}: version {highest} was accepted, {final} is stored")
        elif (
            final == highest and (session.get("setup") or {}).get("mark") != versions[highest].mark
        ):
            found.append(
                f"{device}: version {final} is {session.get('setup')}, not {versions[highest].mark}"
            )
        elif final > unanswered[device]:
            found.append(f"{device}: version {final} after {unanswered[device]} requests")
    return found
