"""Setups: each accepted change has a version of its own, is answered with itself, and comes to its device."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

from chaos.evidence import Evidence
from chaos.wishes import Put, PutTaken, SetupSeen

#: How long a setup that was sent before a loss of data may be on its way.
ON_ITS_WAY_S = 2.0
#: So many numbers, or more, are left out in another life of Redis.
LEFT_OUT = 100


def none_lost(evidence: Evidence) -> list[str]:
    """Find versions given twice, answers with another editor's document, changes that vanished."""
    found: list[str] = []
    puts = {put.mark: put for put in evidence.of(Put)}
    taken: dict[str, dict[int, PutTaken]] = defaultdict(dict)
    for entry in _certain(evidence):
        before = taken[entry.device].setdefault(entry.version, entry)
        if before is not entry:
            found.append(
                f"{entry.device}: version {entry.version} is {before.mark} and {entry.mark}"
            )
        put = puts[entry.mark]
        if not put.step and entry.answered_mark not in (None, entry.mark):
            found.append(f"{entry.device}: {entry.mark} was answered with {entry.answered_mark}")
        if put.version is not None and not _may_follow(evidence, put.version + 1, entry.version):
            found.append(
                f"{entry.device}: {entry.mark} replaced {put.version} and became {entry.version}"
            )
    unanswered: dict[str, int] = defaultdict(int)
    for put in puts.values():
        unanswered[put.device] += 1
    for device, versions in taken.items():
        session = evidence.sessions.get(device, {})
        final, highest = session.get("setup_version", 0), max(versions)
        mark = _document(puts, versions[highest])
        if final < highest:
            found.append(f"{device}: version {highest} was accepted, {final} is stored")
        elif final == highest and (session.get("setup") or {}).get("mark") != mark:
            found.append(f"{device}: version {final} is {session.get('setup')}, not {mark}")
    return found + [
        f"{device}: version {version} after {unanswered[device]} requests"
        for device, session in evidence.sessions.items()
        if (version := session.get("setup_version", 0)) > unanswered[device]
        and not _may_follow(evidence, unanswered[device], version)
    ]


def steps_are_true(evidence: Evidence) -> list[str]:
    """Find steps back and forth that led to another document than the one that was there."""
    found: list[str] = []
    puts = {put.mark: put for put in evidence.of(Put)}
    courses: dict[str, _Course] = defaultdict(_Course)
    for entry in sorted(_certain(evidence), key=lambda taken: (taken.device, taken.version)):
        course, put = courses[entry.device], puts[entry.mark]
        if entry.version != course.version + 1:
            course = courses[entry.device] = _Course(
                undo_known=False, redo_known=False, present="?"
            )
        course.version = entry.version
        if not put.step:
            course.undo.append(course.present)
            course.redo, course.redo_known, course.present = [], True, entry.mark
            continue
        mark, wanted = entry.answered_mark, course.step(put.step, entry.answered_mark)
        if wanted not in ("?", mark):
            found.append(f"{entry.device}: {put.step} to {entry.version} is {mark}, not {wanted}")
    return found


def arrive(evidence: Evidence) -> list[str]:
    """Find devices that were given another document than the version has, or an older version than there was."""
    found: list[str] = []
    puts = {put.mark: put for put in evidence.of(Put)}
    known: dict[tuple[str, int], str | None] = {}
    accepted: dict[str, list[PutTaken]] = defaultdict(list)
    for entry in _certain(evidence):
        known[entry.device, entry.version] = _document(puts, entry)
        accepted[entry.device].append(entry)
    loss = evidence.last_loss
    lost = {
        (t.device, t.version, _document(puts, t)) for t in evidence.of(PutTaken) if t.at <= loss.at
    }
    for seen in evidence.of(SetupSeen):
        was_sent_before = (seen.device, seen.version, seen.mark) in lost
        if seen.at <= loss.at + (ON_ITS_WAY_S if was_sent_before else 0):
            continue
        mark = known.setdefault((seen.device, seen.version), seen.mark)
        if mark != seen.mark:
            found.append(f"{seen.who}: version {seen.version} is {mark}, and it got {seen.mark}")
        missed = [t.version for t in accepted[seen.device] if t.at < seen.asked_at]
        if missed and max(missed) > seen.version:
            found.append(f"{seen.who} got version {seen.version} after {max(missed)} was accepted")
    return found


@dataclasses.dataclass(slots=True)
class _Course:
    """The documents of one session, as its accepted changes leave them; "?" is one that is not known.

    Attributes:
        undo_known: Whether `undo` has all that can be undone.
        redo_known: The same of `redo`.
    """

    version: int = 0
    present: str | None = None
    undo: list[str | None] = dataclasses.field(default_factory=list)
    redo: list[str | None] = dataclasses.field(default_factory=list)
    undo_known: bool = True
    redo_known: bool = True

    def step(self, direction: str, mark: str | None) -> str | None:
        """Go a step that was answered with this document; return the one that it must lead to."""
        back, forth = (self.undo, self.redo) if direction == "undo" else (self.redo, self.undo)
        is_known = self.undo_known if direction == "undo" else self.redo_known
        wanted = back.pop() if back else "nothing" if is_known else "?"
        forth.append(self.present)
        self.present = mark
        return wanted


def _may_follow(evidence: Evidence, next_version: int, version: int) -> bool:
    """Return whether a change may get this version: numbers are left out where Redis may have lost some."""
    left_out = version - next_version
    return left_out == 0 or left_out >= LEFT_OUT or (left_out > 0 and evidence.last_loss.at > 0)


def _certain(evidence: Evidence) -> list[PutTaken]:
    """Return the accepted changes that no loss of data may have taken."""
    loss, puts = evidence.last_loss, {put.mark: put for put in evidence.of(Put)}
    return [t for t in evidence.of(PutTaken) if not loss.may_have(puts[t.mark].at, t.at)]


def _document(puts: dict[str, Put], taken: PutTaken) -> str | None:
    return taken.answered_mark if puts[taken.mark].step else taken.mark
