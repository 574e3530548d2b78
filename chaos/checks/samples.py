"""Samples: what was acked is stored, once, in order."""

from __future__ import annotations

import itertools
from collections import defaultdict

from chaos.evidence import Evidence
from chaos.journal import Acked, Disorder, Sent


def stored(evidence: Evidence, device: str, sender: str) -> list[int]:
    """Return the counts of a sender in a session's history, as they are stored."""
    data = evidence.sessions.get(device, {}).get("data") or {}
    return [value for value, _ in data.get(sender, [])]


def _senders(evidence: Evidence) -> list[tuple[str, str]]:
    return sorted({(sent.device, sent.sender) for sent in evidence.of(Sent)})


def none_missing(evidence: Evidence) -> list[str]:
    """Find acked counts that the histories do not have, and archived ones that a loss took along."""
    wanted: dict[tuple[str, str], set[int]] = defaultdict(set)
    first_sent, loss = evidence.first_sent(), evidence.last_loss
    for entry in evidence.of(Acked):
        sent_at = first_sent.get((entry.device, entry.sender, entry.count), entry.at)
        if not loss.may_have(sent_at, entry.at):
            wanted[entry.device, entry.sender].add(entry.count)
    for device, sender in _senders(evidence):
        wanted[device, sender].update(loss.kept.get(device, {}).get(sender, []))
    found = []
    for (device, sender), counts in wanted.items():
        missing = sorted(counts - set(stored(evidence, device, sender)))
        if missing:
            found.append(f"{device}: {len(missing)} acked samples of {sender}: {missing[:20]}")
    return found


def none_twice(evidence: Evidence) -> list[str]:
    """Find counts that are stored twice, or before a smaller one."""
    found = []
    for device, sender in _senders(evidence):
        counts = stored(evidence, device, sender)
        wrong = [(a, b) for a, b in itertools.pairwise(counts) if b <= a]
        if wrong:
            found.append(f"{device}: {sender} is stored as … {wrong[:10]}")
    return found


def none_invented(evidence: Evidence) -> list[str]:
    """Find counts that no device sent, also where nothing was sent under their key."""
    sent: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for entry in evidence.of(Sent):
        sent[entry.device][entry.sender].add(entry.count)
    return [
        f"{device}: {key} never sent {sorted(strange)[:20]}"
        for device, senders in sent.items()
        for key in evidence.sessions.get(device, {}).get("data") or {}
        if (strange := set(stored(evidence, device, key)) - senders[key])
    ]


def acked_in_order(evidence: Evidence) -> list[str]:
    """Find acks that came in another order than their updates."""
    return [
        f"{entry.sender}: the ack of {entry.seq} came after that of {entry.before}"
        for entry in evidence.of(Disorder)
    ]
