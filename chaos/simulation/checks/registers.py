"""Registers that are refused, and former sockets: as often, as long and as surely as is promised, to the moment."""

from __future__ import annotations

from datetime import datetime

from chaos.evidence import Evidence
from chaos.journal import Insisted, Refused, RegisterAsked, Registered, Reported
from chaos.simulation.checks.course import Course, owner_through, stays_of
from chaos.simulation.system import SETTINGS
from chaos.wishes import KickAsked, Kicked

MOST = SETTINGS["limits.flapping_registers"]
WINDOW_S = SETTINGS["limits.flapping_window_s"]
#: So many events of a session are kept.
TIMELINE = 200
#: What generations may be ahead of Redis's clock, ms: of two in one moment the later one is one more.
AHEAD_MS = 10
#: In calm a request and its answer take no longer.
ANSWER_S = 1.0
#: So long after a register, and before the end of a connection is known here, a session is the socket's.
SURELY_S = 1.0


def not_too_often(evidence: Evidence, course: Course) -> list[str]:
    """Find ids that registered more often than is allowed, and ones that were refused although they had not."""
    generations: dict[str, set[int]] = {}
    for came in evidence.of(Registered):
        generations.setdefault(came.device, set()).add(came.generation)
    found = []
    for device, numbers in generations.items():
        ordered = sorted(numbers)
        for first, last in zip(ordered, ordered[MOST:], strict=False):
            if last - first < 1000 * WINDOW_S - AHEAD_MS:
                found.append(f"{device} registered {MOST + 1} times in {last - first} ms")
    asked: dict[str, RegisterAsked] = {}
    for entry in evidence.entries:
        if isinstance(entry, RegisterAsked):
            asked[entry.sender] = entry
        elif isinstance(entry, Refused) and entry.event == "register" and entry.code == "flapping":
            ask = asked.get(entry.who)
            if ask is None:
                continue
            accepted = _accepted(evidence, course, ask.device)
            recent = [at for at in accepted if ask.at - WINDOW_S <= at <= entry.at]
            if len(recent) < MOST and len(accepted) < TIMELINE:
                found.append(f"{entry.who} was flapping at {entry.at:.2f} after {len(recent)}")
            elif entry.retry_after_s > WINDOW_S:
                found.append(f"{entry.who} is to wait for {entry.retry_after_s} s")
    return found


def _accepted(evidence: Evidence, course: Course, device: str) -> list[float]:
    """Return when a device's registers were accepted, by its timeline."""
    timeline = evidence.sessions.get(device, {}).get("timeline", ())
    return [
        _journal_s(event["at"], course)
        for event in timeline
        if event["event"] == "connected" and event.get("reason") != "reclaimed"
    ]


def away_as_long(evidence: Evidence, course: Course) -> list[str]:
    """Find devices that were refused for longer than they were sent away, or though no one asked for it."""
    ids = {entry.sender: entry.device for entry in evidence.of(RegisterAsked)}
    ids |= {entry.who: entry.device for entry in evidence.of(Reported)}
    asked, done = list(evidence.of(KickAsked)), list(evidence.of(Kicked))
    found = []
    for entry in evidence.of(Refused):
        if entry.code != "rate_limited" or entry.event not in ("register", "updates"):
            continue
        device = ids.get(entry.who, entry.who)
        until = [kick.at + kick.retry_after_s for kick in done if kick.device == device]
        until += [  # the answer is missing: it may have come late
            course.calm_from(kick.at) + kick.retry_after_s
            for kick in asked
            if kick.device == device and not any(one.asked_at == kick.at for one in done)
        ]
        last = max(until, default=-1.0)
        if course.is_calm(entry.at - ANSWER_S, entry.at) and (
            entry.at > last + ANSWER_S or entry.at + entry.retry_after_s > last + ANSWER_S
        ):
            found.append(
                f"{entry.who} was refused at {entry.at:.2f} for {entry.retry_after_s} s, and sent away "
                f"until {last:.2f}"
            )
    return found


def late_registers(evidence: Evidence, course: Course) -> list[str]:
    """Find registers that were taken although a later connection of the device was there."""
    stays = stays_of(evidence)
    return [
        f"a former socket of {entry.who} registered at {entry.at:.2f}"
        for entry in evidence.of(Insisted)
        if entry.what == "register"
        and entry.taken
        and owner_through(stays[entry.device], entry.asked_at, entry.at)
        and course.is_calm(entry.asked_at - WINDOW_S, entry.at)
    ]


def stay_connected(evidence: Evidence, course: Course) -> list[str]:
    """Find sessions that were taken from a node that lives, or from a socket that was connected."""
    stays, found = stays_of(evidence), []
    for device, shown in evidence.sessions.items():
        for event in shown["timeline"]:
            at = _journal_s(event["at"], course)
            if event["event"] == "lease_expired" and course.is_calm(at, at):
                found.append(f"{device}: lease_expired at {at:.1f}")
            elif (
                event["event"] in ("disconnected", "inactive")
                and (stay := owner_through(stays[device], at - SURELY_S, at + SURELY_S))
                and course.is_whole(at - SURELY_S, at + SURELY_S)
            ):
                found.append(f"{device}: {event['event']} at {at:.1f}, and {stay.sender} was there")
    return found


def _journal_s(text: str, course: Course) -> float:
    return datetime.fromisoformat(text).timestamp() - course.epoch_s
