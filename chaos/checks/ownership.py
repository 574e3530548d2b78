"""Ownership: of two owners of one id, all writes of one come before all writes of the other."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from chaos.evidence import Evidence
from chaos.journal import Acked, Contested, Insisted, RegisterAsked, Registered, Superseded


def one_at_a_time(evidence: Evidence) -> list[str]:
    """Find acks by an owner after a later one's first, generations given twice, two who stay."""
    found = [
        f"{entry.device}: {entry.stayed} sockets kept it"
        for entry in evidence.of(Contested)
        if entry.stayed > 1
    ]
    seen: dict[tuple[str, int], str] = {}
    for entry in evidence.of(Registered):
        before = seen.setdefault((entry.device, entry.generation), entry.sender)
        if before != entry.sender:
            found.append(
                f"{entry.device}: generation {entry.generation} of {before} and {entry.sender}"
            )
    acks: dict[str, list[tuple[int, int]]] = defaultdict(list)
    first_sent, loss = evidence.first_sent(), evidence.last_loss
    for ack in evidence.of(Acked):
        sent_at = first_sent.get((ack.device, ack.sender, ack.count), ack.at)
        if ack.rev is not None and not loss.may_have(sent_at, ack.at):
            acks[ack.device].append((ack.rev, ack.generation))
    for device, pairs in acks.items():
        for (rev, generation), (later_rev, later) in pairwise(sorted(pairs)):
            if later < generation:
                found.append(
                    f"{device}: {later} wrote rev {later_rev} after {generation} wrote {rev}"
                )
            if rev == later_rev:
                found.append(f"{device}: rev {rev} was answered to two updates")
    return found


def no_way_back(evidence: Evidence) -> list[str]:
    """Find owners that were superseded by no later connection, and former ones that were heard."""
    asked: dict[str, list[RegisterAsked]] = defaultdict(list)
    for ask in evidence.of(RegisterAsked):
        asked[ask.device].append(ask)
    loss = evidence.last_loss
    found = [
        f"{entry.what} of a former socket of {entry.who} was taken"
        for entry in evidence.of(Insisted)
        # A register may be taken again when the later connection is gone.
        if entry.taken and entry.what != "register" and not loss.may_have(0.0, entry.at)
    ]
    for entry in evidence.of(Superseded):
        later = [
            ask
            for ask in asked[entry.device]
            if entry.connected_at < ask.connected_at and ask.at < entry.at
        ]
        own = next((ask for ask in later if ask.sender == entry.sender), None)
        if not any(ask is not own for ask in later) and not entry.connected_at < loss.at < entry.at:
            found.append(
                f"{entry.sender} connected at {entry.connected_at:.2f}, and was superseded at "
                f"{entry.at:.2f} by no later connection"
            )
    return found
