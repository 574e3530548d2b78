"""Commands: each is taken once, arrives in order, and ends once."""

from __future__ import annotations

from collections import defaultdict

from chaos.evidence import Evidence
from chaos.journal import CommandShown, Received
from chaos.wishes import BulkAsked, Mismatched, Ordered, OrderTaken

FINAL = frozenset({"succeeded", "failed", "expired", "timed_out", "cancelled"})


def one_end(evidence: Evidence) -> list[str]:
    """Find commands that were taken and did not end, or ended twice in different ways."""
    ends: dict[str, set[str]] = defaultdict(set)
    uncertain = uncertain_ones(evidence)
    for shown in evidence.of(CommandShown):
        if shown.status in FINAL:
            ends[shown.command_id].add(shown.status)
    found = []
    for device, rows in evidence.commands.items():
        for row in rows:
            if row["status"] in FINAL:
                ends[row["command_id"]].add(row["status"])
            elif row["command_id"] not in uncertain:
                found.append(f"{device}: command {row['command_id']} is {row['status']}")
    found += [
        f"command {name} ended as {sorted(words)}"
        for name, words in ends.items()
        if len(words) > 1 and name not in uncertain
    ]
    received = {entry.command_id for entry in evidence.of(Received)}
    for taken in {t.command_id: t for t in evidence.of(OrderTaken)}.values():
        if taken.command_id in uncertain:
            continue
        if taken.command_id not in ends:
            found.append(f"{taken.device}: command {taken.command_id} ({taken.key}) never ended")
        elif ends[taken.command_id] == {"succeeded"} and taken.command_id not in received:
            found.append(f"{taken.device}: command {taken.command_id} succeeded and never arrived")
    return found


def arrive(evidence: Evidence) -> list[str]:
    """Find requests that became two commands, and commands that came in another order, or unasked."""
    found = []
    ids: dict[str, set[str]] = defaultdict(set)
    uncertain = uncertain_ones(evidence)
    for taken in evidence.of(OrderTaken):
        if taken.command_id in uncertain:
            continue
        ids[taken.key].add(taken.command_id)
    found += [f"{key} became {sorted(names)}" for key, names in ids.items() if len(names) > 1]
    found += [
        f"another request with the key {entry.key} of {entry.command_id}: {entry.code} {entry.named}"
        for entry in evidence.of(Mismatched)
        if (entry.code, entry.named) != ("idempotency_mismatch", entry.command_id)
        and entry.command_id not in uncertain
    ]
    asked = {(o.device, o.key): o.number for o in evidence.of(Ordered)}
    sender = {
        t.command_id: (t.operator, asked.get((t.device, t.key))) for t in evidence.of(OrderTaken)
    }
    wished = {(o.device, o.number) for o in evidence.of(Ordered)}
    wished |= {(name, bulk.number) for bulk in evidence.of(BulkAsked) for name in bulk.devices}
    keys_are_kept = evidence.last_loss.at < 0  # without its first use a key may be used for another
    arrived: set[str] = set()
    attempts: dict[tuple[str, str], int] = {}  # to each client: a packet to another one may be late
    highest: dict[tuple[str, str], int] = {}
    for entry in evidence.of(Received):
        if keys_are_kept and (entry.device, entry.number) not in wished:
            found.append(f"{entry.device}: {entry.number} was not asked for, and came")
        if entry.command_id in uncertain:
            continue
        before = attempts.get((entry.who, entry.command_id))
        if before is not None and entry.attempt <= before:
            found.append(
                f"{entry.device}: {entry.command_id} came as attempt {before}, {entry.attempt}"
            )
        attempts[entry.who, entry.command_id] = entry.attempt
        if entry.command_id in arrived or entry.command_id not in sender:
            continue
        arrived.add(entry.command_id)
        operator, number = sender[entry.command_id]
        if number is not None and number != entry.number:
            found.append(
                f"{entry.device}: {entry.command_id} asked {number}, brought {entry.number}"
            )
        if entry.number < highest.get((entry.device, operator), 0):
            found.append(
                f"{entry.device}: order {entry.number} of {operator} came after a later one"
            )
        highest[entry.device, operator] = entry.number
    return found


def uncertain_ones(evidence: Evidence) -> set[str]:
    """Return the commands that a loss of data may have removed or set back to an earlier status."""
    loss = evidence.last_loss
    asked: dict[tuple[str, str], float] = {}
    for order in evidence.of(Ordered):
        asked.setdefault((order.device, order.key), order.at)
    found = {
        taken.command_id
        for taken in evidence.of(OrderTaken)
        if loss.may_have(asked.get((taken.device, taken.key), taken.at), taken.at)
    }
    touched = ((entry.command_id, entry.at) for entry in evidence.of(Received))
    shown = ((entry.command_id, entry.at) for entry in evidence.of(CommandShown))
    return found | {name for name, at in (*touched, *shown) if loss.may_have(at, at)}
