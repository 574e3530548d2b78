"""Dashboards: between snapshots nothing is missing, doubled or out of order, and nothing comes that was not chosen."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterator

from chaos.checks.samples import stored
from chaos.choices import Choice, sees
from chaos.evidence import Evidence
from chaos.journal import Acked, Changed, Sent, Shown, Watched

#: Fields of a summary that a dashboard must know rightly in the end.
FIELDS = (
    *("state", "is_connected", "setup_version", "in_sync", "open_commands"),
    *("project_id", "session_name"),
)


@dataclasses.dataclass(slots=True)
class Stretch:
    """What a dashboard was shown from one snapshot to the next.

    Attributes:
        known: Session → its revision when the dashboard first received it.
        seen: (session, key) → (value, whether something before it was conflated).
        revs: Session → revisions of its samples, in order.
        first: (session, key) → the value that came with the snapshot, where values were asked for.
        last: Whether the run ended in it.
    """

    dashboard: str
    known: dict[str, int] = dataclasses.field(default_factory=dict)
    seen: dict[tuple[str, str], list[tuple[int, bool]]] = dataclasses.field(
        default_factory=lambda: defaultdict(list)
    )
    revs: dict[str, list[int]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    first: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    last: bool = False


def no_gaps(evidence: Evidence) -> list[str]:
    """Find samples that a dashboard missed, or got twice or out of order, without a `resync`."""
    revs = {(a.device, a.sender, a.count): a.rev for a in evidence.of(Acked) if a.rev is not None}
    histories: dict[tuple[str, str], list[int]] = {}
    lost = _lost(evidence)
    senders = {(sent.device, sent.sender) for sent in evidence.of(Sent)}
    found = []
    for stretch in _stretches(evidence):
        for session, numbers in stretch.revs.items():
            if any(b <= a for a, b in itertools.pairwise(numbers)):
                found.append(
                    f"{stretch.dashboard}: revisions of {session} go back: {numbers[-20:]}"
                )
        if stretch.last:
            found += _never_shown(evidence, stretch, senders, revs)
        for (session, key), seen in stretch.seen.items():
            if (session, key) not in senders:
                continue  # a fault's own, which may be damaged on purpose
            history = histories.setdefault((session, key), stored(evidence, session, key))
            seen = [(c, conflated) for c, conflated in seen if (session, key, c) not in lost]
            gaps = [
                *_gaps(seen, history, stretch.last),
                *_gap_behind(stretch, session, key, history),
            ]
            found += [f"{stretch.dashboard}: {session} {key}: {gap}" for gap in gaps]
            if not seen:
                continue
            first, conflated = seen[0]
            known = stretch.known.get(session)
            if known is None or conflated or first not in history:
                continue
            before = history[: history.index(first)]
            missed = [c for c in before if revs.get((session, key, c), 0) > known]
            if missed:
                found.append(
                    f"{stretch.dashboard}: {session} {key}: after rev {known} missed {missed[:20]}"
                )
    return found


def _lost(evidence: Evidence) -> set[tuple[str, str, int]]:
    """Return what was shown before a loss of data, and is not stored any more."""
    before: dict[tuple[str, str], set[int]] = defaultdict(set)
    loss = evidence.last_loss
    for (device, sender, count), sent_at in evidence.first_sent().items():
        if sent_at <= loss.at:
            before[device, sender].add(count)
    return {
        (device, sender, count)
        for (device, sender), counts in before.items()
        for count in counts - set(stored(evidence, device, sender))
    }


def _gaps(seen: list[tuple[int, bool]], history: list[int], last: bool) -> Iterator[str]:
    place = {count: index for index, count in enumerate(history)}
    if seen and seen[0][0] not in place and not seen[0][1]:
        yield f"{seen[0][0]} is not stored"
    for (before, _), (count, conflated) in itertools.pairwise(seen):
        if before not in place or count not in place:
            if not (conflated and count > before):
                yield f"{before}, {count}: not both are stored"
        elif place[count] <= place[before]:
            yield f"{count} after {before}"
        elif place[count] != place[before] + 1 and not conflated:
            yield f"nothing between {before} and {count}, stored: {history[place[before] :][:20]}"
    if last and history and seen and seen[-1][0] != history[-1]:
        yield f"ends with {seen[-1][0]}, stored to {history[-1]}"


def _never_shown(
    evidence: Evidence,
    stretch: Stretch,
    senders: set[tuple[str, str]],
    revs: dict[tuple[str, str, int], int],
) -> Iterator[str]:
    """Find what came after the last snapshot, of a sender of which nothing was shown since."""
    choice = _choices(evidence)[stretch.dashboard]
    for session, key in sorted(senders - stretch.seen.keys()):
        known, row = stretch.known.get(session), evidence.summaries.get(session)
        if known is None or row is None or not sees(choice, row):
            continue
        if choice.get("samples") == "none" or key not in choice.get("values", [key]):
            continue
        history = stored(evidence, session, key)
        missed = [c for c in history if revs.get((session, key, c), 0) > known]
        if missed:
            yield f"{stretch.dashboard}: {session} {key}: nothing after rev {known}: {missed[:20]}"


def _gap_behind(stretch: Stretch, session: str, key: str, history: list[int]) -> Iterator[str]:
    """Compare the value that came with the snapshot with the first sample behind it."""
    value, seen = stretch.first.get((session, key)), stretch.seen[session, key]
    if value in history and seen and not seen[0][1] and seen[0][0] in history:
        missed = history[history.index(value) + 1 : history.index(seen[0][0])]
        if missed:
            yield f"the snapshot has {value}, then came {seen[0][0]}, missed: {missed[:20]}"


def as_chosen(evidence: Evidence) -> list[str]:
    """Find samples and sessions that a dashboard did not ask for."""
    choices = _choices(evidence)
    found = []
    for shown in evidence.of(Shown):
        choice = choices.get(shown.dashboard, {})
        row = evidence.summaries.get(shown.session)
        if choice.get("samples") == "none":
            found.append(f"{shown.dashboard} wants no samples, and got {shown.samples[:3]}")
        strange = {key for key, *_ in shown.samples} - set(choice.get("values", []))
        if "values" in choice and strange:
            found.append(f"{shown.dashboard} got samples of {sorted(strange)}")
        if row is not None and not sees(choice, row):
            found.append(f"{shown.dashboard} got samples of {shown.session}")
    for entry in evidence.of(Changed):
        choice = choices.get(entry.dashboard, {})
        found += [
            f"{entry.dashboard} was shown {row['session_id']}"
            for row in entry.changed
            if not sees(choice, row)
        ]
    return found


def _choices(evidence: Evidence) -> dict[str, Choice]:
    return {entry.dashboard: entry.choice for entry in evidence.of(Watched)}


def _stretches(evidence: Evidence) -> Iterator[Stretch]:
    current: dict[str, Stretch] = {}
    choices = _choices(evidence)
    for entry in evidence.entries:
        if isinstance(entry, Watched) and not entry.recovered:
            if entry.dashboard in current:
                yield current[entry.dashboard]
            stretch = current[entry.dashboard] = Stretch(entry.dashboard)
            stretch.known = {name: row["rev"] for name, row in entry.sessions.items()}
            stretch.first = {
                (name, key): value
                for name, row in entry.sessions.items()
                for key, (value, _) in row.get("values", {}).items()
            }
        elif isinstance(entry, Changed) and entry.dashboard in current:
            for row in entry.changed:
                current[entry.dashboard].known.setdefault(row["session_id"], row["rev"])
        elif isinstance(entry, Shown) and entry.dashboard in current:
            stretch = current[entry.dashboard]
            stretch.revs[entry.session].append(entry.rev)
            latest = choices[entry.dashboard].get("samples") == "latest"
            for key, value, _ in entry.samples:
                stretch.seen[entry.session, key].append((value, entry.conflated or latest))
    for stretch in current.values():
        stretch.last = True
        yield stretch


def views_are_true(evidence: Evidence) -> list[str]:
    """Compare what dashboards know in the end with what the service says."""
    found, choices = [], _choices(evidence)
    for dashboard, view in evidence.views.items():
        for session, row in evidence.summaries.items():
            shown = view.get(session)
            if not sees(choices.get(dashboard, {}), row):
                if shown is not None:
                    found.append(f"{dashboard} shows {session}, which it did not choose")
                continue
            if shown is None:
                if row["state"] != "archived":
                    found.append(f"{dashboard} does not know {session}")
                continue
            wrong = {f: (shown.get(f), row.get(f)) for f in FIELDS if shown.get(f) != row.get(f)}
            if wrong:
                found.append(f"{dashboard}: {session}: shown, true: {wrong}")
        strangers = view.keys() - evidence.summaries.keys()
        found += [f"{dashboard} shows {session}, which is not there" for session in strangers]
    return found
