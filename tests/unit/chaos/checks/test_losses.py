"""Losses of data that the docs name: what may be gone is no finding, all else is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.checks import ALL
from chaos.evidence import Evidence
from chaos.journal import Acked, CommandShown, DataLost, Received, Sent, Shown
from chaos.wishes import Put, PutTaken
from tests.unit.chaos.checks.sound import DEVICE, history, iso, row, sound

#: Between the third sample and the fourth; what was stored until then may be gone, but for `KEPT`.
LOSS = DataLost(6.9, -1.0, {DEVICE: {"kiosk": [1]}})
#: A backup from between the first sample and the second.
FROM_BACKUP = DataLost(6.9, 2.5, {})


def after(loss: DataLost, *counts: int) -> Evidence:
    evidence = sound()
    evidence.entries.insert(
        next(i for i, entry in enumerate(evidence.entries) if entry.at > loss.at), loss
    )
    history(evidence, *counts)
    return evidence


def findings(evidence: Evidence) -> set[str]:
    return {promise for promise, check in ALL.items() if check(evidence)}


@pytest.mark.parametrize("loss", [LOSS, FROM_BACKUP])
def test_what_the_docs_say_may_be_lost_is_no_finding(loss: DataLost) -> None:
    assert findings(after(loss, 1, 4)) == set()


@pytest.mark.parametrize(
    ("loss", "counts"),
    [
        (LOSS, (4,)),  # its archive file had the first
        (LOSS, (1, 2, 3)),  # the fourth came afterwards
        (FROM_BACKUP, (2, 3, 4)),  # the backup had the first
    ],
)
def test_what_must_have_survived_a_loss_is_missing(loss: DataLost, counts: tuple[int, ...]) -> None:
    assert "no acked sample is missing" in findings(after(loss, *counts))


def test_a_setup_may_be_lost_but_not_one_that_came_afterwards() -> None:
    evidence = after(LOSS, 1, 4)
    evidence.sessions[DEVICE].update(setup_version=0, setup=None)
    assert findings(evidence) == set()
    evidence.entries += [
        Put(9.0, "bo", DEVICE, "bo-9", 0),
        PutTaken(9.1, "bo", DEVICE, "bo-9", 1, None),
    ]
    assert findings(evidence) == {"no accepted setup is lost, and its answer is its own"}


def test_a_command_may_come_again_after_a_backup_but_a_later_one_may_not() -> None:
    evidence = after(FROM_BACKUP, 1, 4)
    evidence.entries.append(Received(9.0, DEVICE, "c2", 2, 1, "", 8.9))
    assert findings(evidence) == set()
    evidence.entries += [Received(9.1, DEVICE, "c3", 3, 1), Received(9.2, DEVICE, "c3", 3, 1)]
    assert findings(evidence) == {
        "commands arrive, in order, and a repeated request is one command"
    }


def test_a_delivered_command_may_expire_after_a_backup_has_set_it_back() -> None:
    evidence = after(FROM_BACKUP, 1, 4)
    evidence.commands[DEVICE][2] = row(3, "expired", 7.5, 9.6, 9.5)
    evidence.entries.append(CommandShown(9.0, "wall", "c3", "delivered"))
    assert findings(evidence) == {
        "a command lives as long as was asked",
        "a command ends as its device said, or as was chosen",
    }
    evidence = after(FROM_BACKUP, 1, 4)
    late = iso(5.5).replace("T09", "T10")
    evidence.commands[DEVICE][1] = row(2, "expired", 5.5, updated_at=late)
    assert findings(evidence) == set()


def _more(evidence: Evidence, count: int, rev: int, *, is_shown: bool) -> None:
    evidence.entries += [
        Sent(9.0 + count, DEVICE, "kiosk", "s1", count, count),
        Acked(9.1 + count, DEVICE, "kiosk", count, 9, rev),
    ]
    if is_shown:
        evidence.entries.append(
            Shown(9.2 + count, "wall", DEVICE, rev, [["kiosk", count, 0.0]], False)
        )


@pytest.mark.parametrize(
    "planted",
    [
        lambda e: _more(e, 5, 7, is_shown=False),
        lambda e: e.entries.append(Shown(9.9, "wall", DEVICE, 8, [["kiosk", 1, 0.0]], False)),
    ],
)
def test_dashboards_miss_nothing_of_what_came_after_a_loss(
    planted: Callable[[Evidence], Any],
) -> None:
    evidence = after(LOSS, 1, 4)
    planted(evidence)
    if evidence.sessions and any(isinstance(e, Sent) and e.count == 5 for e in evidence.entries):
        _more(evidence, 6, 8, is_shown=True)
        history(evidence, 1, 4, 5, 6)
    assert findings(evidence) == {"dashboards have no gaps unless notified"}
