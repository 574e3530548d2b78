"""Sessions that a person disconnected or deleted: the one stays away for a while, the other for good."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from chaos.evidence import Evidence
from chaos.journal import FaultBegan, Refused, RegisterAsked, Registered, Reported
from chaos.wishes import Deleted, KickAsked, Kicked, LateWrite

#: Redis counts the time that a device is away; who changes its clock changes that.
CLOCK = "redis clock"
#: So long after its end a refusal may still be under way.
LATE_S = 30.0
#: What stays of a deleted session, for a while.
STAYS = frozenset({"tombstone", "closed", "staging", "registers", "kicked"})


def kept(evidence: Evidence) -> list[str]:
    """Find devices that came back too early, and ones that were refused without having been sent away."""
    if any(fault.fault == CLOCK for fault in evidence.of(FaultBegan)):
        return []
    loss, kicks = evidence.last_loss, defaultdict(list)
    for kick, over in _kicks(evidence):
        kicks[kick.device].append((kick, over))
    found = []
    came: list[Registered | Reported] = [*evidence.of(Registered), *evidence.of(Reported)]
    for entry in came:
        for kick, over in kicks[entry.device]:
            if (
                entry.asked_at > kick.at
                and entry.at < over
                and not loss.may_have(kick.asked_at, entry.at)
            ):
                found.append(
                    f"{entry.device} was sent away at {kick.at:.2f} for {kick.retry_after_s} s, and "
                    f"came at {entry.at:.2f}"
                )
    asked, ids = list(evidence.of(KickAsked)), defaultdict(set)
    for wish in evidence.of(RegisterAsked):
        ids[wish.sender].add(wish.device)
    return found + [
        f"{entry.who} was {entry.code} at {entry.at:.2f}, and had not been sent away"
        for entry in evidence.of(Refused)
        if entry.event in ("register", "updates")
        and entry.code == "rate_limited"
        and not any(
            k.device in (ids[entry.who] or {entry.who})
            and k.at < entry.at < k.at + k.retry_after_s + LATE_S
            and entry.retry_after_s <= k.retry_after_s
            for k in asked
        )
    ]


def _kicks(evidence: Evidence) -> Iterator[tuple[Kicked, float]]:
    """Yield what was answered, and until when the device stays away: the one that Redis had last counts."""
    done = list(evidence.of(Kicked))
    answers = {  # one that is missing may have been carried out all the same, and late
        ask: min((one.at for one in done if _is_answer(one, ask)), default=ask.at + LATE_S)
        for ask in evidence.of(KickAsked)
    }
    for kick in done:
        others = [
            max(ask.at, kick.asked_at) + ask.retry_after_s
            for ask, answered_at in answers.items()
            if ask.device == kick.device and answered_at > kick.asked_at
        ]
        yield kick, min([kick.asked_at + kick.retry_after_s, *others])


def _is_answer(kick: Kicked, ask: KickAsked) -> bool:
    about = (kick.device, kick.retry_after_s)
    return about == (ask.device, ask.retry_after_s) and kick.asked_at <= ask.at <= kick.at


def gone(evidence: Evidence) -> list[str]:
    """Find deleted sessions that are there, or of which something is left, or which took a write."""
    loss = evidence.last_loss
    deleted = {
        entry.device
        for entry in evidence.of(Deleted)
        if not loss.may_have(entry.asked_at, entry.at) and not entry.at <= loss.at
    }
    found = [
        f"{entry.device} was deleted, and {entry.what} was answered"
        for entry in evidence.of(LateWrite)
        if entry.taken and entry.device in deleted
    ]
    found += [f"{name} was deleted, and is listed" for name in deleted & evidence.summaries.keys()]
    return found + [
        f"{name} was deleted, and {key} is there"
        for key in evidence.keys
        for name in deleted & set(key.split(":"))
        if key.startswith("muster:") and not STAYS & set(key.split(":"))
    ]
