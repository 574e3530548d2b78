"""More promises with a time: what ends at its time, comes within one, and is renewed before it is over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from chaos.evidence import Evidence
from chaos.journal import NotRegistered, Received, Reported, SaidGoodbye
from chaos.people.devices import EFFECT_S
from chaos.simulation.checks.course import Course, owned, owner_through, stays_of
from chaos.wishes import (
    Answered,
    CancelAsked,
    CancelTaken,
    KickAsked,
    Kicked,
    Put,
    PutTaken,
    SetupSeen,
)

#: In calm a setup is at its connected device within this …
SETUP_S = 2.0
#: … an answer to a command is in Redis, …
ACK_S = 1.0
#: … a device that is sent away is closed, …
KICKED_S = 3.0
#: … a command without a result has ended, …
ENDED_S = 3.0
#: … and a device without a socket that is overdue is inactive (README: + 1 s; a node looks once per renewal).
OVERDUE_S = 2.0
#: Of the time of a key so much is left at any moment, …
RENEWED_PART = 0.5
#: … and so much in calm: it is renewed when a quarter is over, and a device without a socket reports soon enough.
RENEWED_IN_CALM = 0.65
#: What clocks of tasks differ by.
SLACK_S = 0.05


def setups_arrive(evidence: Evidence, course: Course) -> list[str]:
    """Find setups that a connected device was not given; one that was sent away may not have heard of it."""
    found, puts = [], {put.mark: put for put in evidence.of(Put)}
    kicks = list(evidence.of(KickAsked))
    stays, seen = stays_of(evidence), list(evidence.of(SetupSeen))
    for taken in evidence.of(PutTaken):
        asked_at, until = puts[taken.mark].at, taken.at + SETUP_S
        for stay, owned_until in owned(stays[taken.device]):
            if (
                stay.began < asked_at
                and owned_until > until
                and course.is_calm(asked_at, until)
                and not any(k.device == taken.device and stay.began < k.at < until for k in kicks)
                and not any(
                    s.who == stay.sender and s.version >= taken.version and s.at <= until
                    for s in seen
                )
            ):
                found.append(f"{stay.sender} was not given version {taken.version} in {SETUP_S} s")
    return found


def acks_count(evidence: Evidence, course: Course) -> list[str]:
    """Find commands that came again on a later connection, long after they were answered in calm."""
    answered: dict[str, float] = {}
    for answer in _heard(evidence, course):
        answered.setdefault(answer.command_id, answer.at + ACK_S)
    return [
        f"{entry.who} answered {entry.command_id} before {entry.asked_at:.1f}, and it came again"
        for entry in evidence.of(Received)
        if answered.get(entry.command_id, entry.at) < entry.asked_at
    ]


def results_count(evidence: Evidence, course: Course) -> list[str]:
    """Find commands that were cancelled long after their device had said in calm how they ended."""
    said: dict[str, Answered] = {}
    for answer in _heard(evidence, course):
        if answer.what != "ack":
            said.setdefault(answer.command_id, answer)
    cancels: dict[str, float] = {}
    for cancel in evidence.of(CancelAsked):
        cancels.setdefault(cancel.command_id, cancel.at)
    return [
        f"{name} was cancelled at {cancels[name]:.2f}, and {answer.what} at {answer.at:.2f}"
        for name, answer in said.items()
        if answer.at + ACK_S < cancels.get(name, 0.0)
        and any(
            row["command_id"] == name and row["status"] == "cancelled"
            for row in evidence.commands.get(answer.device, ())
        )
    ]


def _heard(evidence: Evidence, course: Course) -> Iterator[Answered]:
    """Yield what owners answered to commands, where nothing can have kept it from Redis."""
    stays = stays_of(evidence)
    for entry in evidence.of(Answered):
        owner = owner_through(stays[entry.device], entry.at, entry.at + ACK_S)
        if owner and owner.sender == entry.who and course.is_calm(entry.at, entry.at + ACK_S):
            yield entry


def registered_again(evidence: Evidence, course: Course) -> list[str]:
    """Find connections whose register was refused for a while, and never repeated by their node."""
    return [
        f"{entry.sender} waited for {entry.at - entry.since:.1f} s"
        for entry in evidence.of(NotRegistered)
        if course.is_calm(entry.since, entry.at)
    ]


def goodbyes(evidence: Evidence, course: Course) -> list[str]:
    """Find updates that a device sent before it left, in calm, and that had no effect."""
    stays, found = stays_of(evidence), []
    for bye in evidence.of(SaidGoodbye):
        was_owner = any(
            stay.sender == bye.sender
            and stay.began < bye.left_at <= stay.ended
            and owned_until == stay.ended
            for stay, owned_until in owned(stays[bye.device])
        )
        others = (s.began for s in stays[bye.device] if s.sender != bye.sender)
        if (
            bye.last_seq < bye.seq
            and was_owner
            and not any(bye.left_at - EFFECT_S < began < bye.left_at + EFFECT_S for began in others)
            and course.is_calm(bye.left_at - EFFECT_S, bye.left_at + EFFECT_S)
        ):
            found.append(f"{bye.sender} sent {bye.seq} and left, {bye.last_seq} is stored")
    return found


def kicked_close(evidence: Evidence, course: Course) -> list[str]:
    """Find sockets that stay although their device was sent away."""
    stays = stays_of(evidence)
    return [
        f"{stay.sender} stays for {stay.ended - kick.at:.1f} s after it was sent away"
        for kick in evidence.of(Kicked)
        for stay, owned_until in owned(stays[kick.device])
        if stay.began < kick.asked_at < owned_until
        and stay.ended > kick.at + KICKED_S
        and course.is_calm(kick.asked_at, kick.at + KICKED_S)
    ]


def cancelled(evidence: Evidence, course: Course) -> list[str]:
    """Find commands that came although they had been cancelled, in calm and long before."""
    over = {
        entry.command_id: entry.at
        for entry in evidence.of(CancelTaken)
        if entry.status == "cancelled"
    }
    return [
        f"{entry.command_id} was cancelled at {over[entry.command_id]:.2f}, and came at {entry.at:.2f}"
        for entry in evidence.of(Received)
        if entry.at > over.get(entry.command_id, entry.at) + ACK_S
        and course.is_calm(over[entry.command_id], entry.at)
    ]


def commands_end(evidence: Evidence, course: Course) -> list[str]:
    """Find commands that ended long after their deadline."""
    found = []
    for rows in evidence.commands.values():
        for row in rows:
            ends, ended = (_journal_s(row[name], course) for name in ("ends_at", "updated_at"))
            if ended > ends + ENDED_S and course.is_calm(ends, ends + ENDED_S):
                found.append(f"{row['command_id']} {row['status']} {ended - ends:.1f} s late")
    return found


def overdue(evidence: Evidence, course: Course) -> list[str]:
    """Find devices without a socket that were given up too early, or too late."""
    found = []
    reports: dict[str, list[Reported]] = {}
    for report in evidence.of(Reported):
        reports.setdefault(report.device, []).append(report)
    for device, mine in reports.items():
        events = [
            _journal_s(event["at"], course)
            for event in evidence.sessions.get(device, {}).get("timeline", ())
            if event["event"] == "inactive" and event.get("reason") == "overdue"
        ]
        for at in events:
            last = max((r.asked_at + 3 * r.every_s for r in mine if r.at < at), default=at)
            if at < last - SLACK_S:
                found.append(f"{device} was overdue {last - at:.2f} s before its time")
        kicked = [kick.at for kick in evidence.of(KickAsked) if kick.device == device]
        for report, later in pairwise(mine):
            due = report.at + 3 * report.every_s + OVERDUE_S
            if (
                later.asked_at > due
                and course.is_calm(report.at, due)
                and not any(report.asked_at < at <= due for at in (*events, *kicked))
            ):
                found.append(f"{device} was not overdue {OVERDUE_S} s after its time")
    return found


def renewed(evidence: Evidence, course: Course) -> list[str]:
    """Find keys of active sessions that are not renewed: by their node, or by each report."""
    is_calm = course.is_calm(evidence.held_at - evidence.ttl_s / 4, evidence.held_at)
    least_ms = 1000 * evidence.ttl_s * (RENEWED_IN_CALM if is_calm else RENEWED_PART)
    return [
        f"{key} ends in {ttl_ms / 1000:.1f} s of {evidence.ttl_s}"
        for key, ttl_ms in evidence.held_ttls.items()
        if ttl_ms < least_ms
    ]


def _journal_s(text: str, course: Course) -> float:
    return datetime.fromisoformat(text).timestamp() - course.epoch_s
