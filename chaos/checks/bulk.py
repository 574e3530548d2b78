"""Bulk commands: each is one batch, and each of its devices has its command once."""

from __future__ import annotations

from collections import Counter, defaultdict

from chaos.checks.outcomes import KEPT
from chaos.evidence import Evidence
from chaos.journal import Received
from chaos.wishes import BulkAsked, BulkDone, BulkTaken


def once_each(evidence: Evidence) -> list[str]:
    """Find requests that became two batches, and devices that lack a command, have it twice, or were not meant."""
    loss = evidence.last_loss
    asked: dict[str, BulkAsked] = {}
    for order in evidence.of(BulkAsked):
        asked.setdefault(order.key, order)
    certain = {key: order for key, order in asked.items() if order.at > loss.at}
    batches: dict[str, set[str]] = defaultdict(set)
    for taken in evidence.of(BulkTaken):
        batches[taken.key].add(taken.batch_id)
    found = [
        f"{key} became {sorted(names)}"
        for key, names in batches.items()
        if len(names) > 1 and key in certain
    ]
    came: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for entry in evidence.of(Received):
        came[entry.number][entry.device].add(entry.command_id)
    for key, order in certain.items():
        for device, names in came[order.number].items():
            if device not in order.devices:
                found.append(f"{key} came to {device}")
            if len(names) > 1:
                found.append(f"{key} came to {device} as {sorted(names)}")
    for done in evidence.of(BulkDone):
        if done.key not in certain:
            continue
        if sorted(done.devices) != sorted(certain[done.key].devices):
            found.append(f"{done.key} is for {done.devices}, not {certain[done.key].devices}")
        for device in sorted(set(done.devices) - set(done.refused)):
            if (rows := evidence.commands.get(device)) is None:
                continue  # not asked for
            count = Counter((row.get("params") or {}).get("number") for row in rows)[done.number]
            if count > 1 or (count == 0 and len(rows) < KEPT):
                found.append(f"{done.key}: {device} has {count} of it")
    return found
