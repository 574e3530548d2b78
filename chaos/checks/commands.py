"""Commands: each is taken once, arrives in order, and ends once."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise

from chaos.evidence import Evidence
from chaos.journal import CommandShown, Received, Registered
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
    before: dict[tuple[str, str], list[Received]] = defaultdict(list)
    generations = {(r.sender, r.asked_at): r.generation for r in evidence.of(Registered)}
    for entry in evidence.of(Received):
        if keys_are_kept and (entry.device, entry.number) not in wished:
            found.append(f"{entry.device}: {entry.number} was not asked for, and came")
        if entry.command_id in uncertain:
            continue
        if entry.command_id in arrived or entry.command_id not in sender:
            continue
        arrived.add(entry.command_id)
        operator, number = sender[entry.command_id]
        if number is not None and number != entry.number:
            found.append(
                f"{entry.device}: {entry.command_id} asked {number}, brought {entry.number}"
            )
        if any(
            entry.number < other.number and not _may_be_late(entry, other, generations)
            for other in before[entry.device, operator]
        ):
            found.append(
                f"{entry.device}: order {entry.number} of {operator} came after a later one"
            )
        before[entry.device, operator].append(entry)
    return found + _miscounted(evidence, uncertain)


def _may_be_late(
    entry: Received, other: Received, generations: dict[tuple[str, float], int]
) -> bool:
    """Return whether a command came over an earlier connection than another one, and was read behind it for that.

    Where two clients share an id and the register of one was not answered, it is not known.
    """
    if entry.who == other.who:
        return entry.asked_at < other.asked_at
    mine = generations.get((entry.who, entry.asked_at), 0)
    return mine < generations.get((other.who, other.asked_at), math.inf)


def _miscounted(evidence: Evidence, uncertain: set[str]) -> list[str]:
    """Find attempts that do not grow from connection to connection of a client.

    Which of two clients was sent a command first is not known here.
    """
    came: dict[tuple[str, str], list[Received]] = defaultdict(list)
    for entry in evidence.of(Received):
        if entry.command_id not in uncertain:
            came[entry.who, entry.command_id].append(entry)
    return [
        f"{entry.device}: {entry.command_id} came as attempt {entry.attempt}, {after.attempt}"
        for mine in came.values()
        for entry, after in pairwise(sorted(mine, key=lambda one: one.asked_at))
        if after.attempt <= entry.attempt
    ]


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
