"""Pairs of runs that differ by one thing, of setups: promise → what keeps it, and what does not."""

from __future__ import annotations

from chaos.journal import Entry
from chaos.wishes import Put, PutTaken, SetupSeen
from tests.unit.chaos.checks.edges_of_people import Pairs, loss, nothing
from tests.unit.chaos.checks.faults_of_commands import added, both
from tests.unit.chaos.checks.sound import DEVICE, Plant


def put(at: float, number: int, version: int | None = None, step: str = "") -> Entry:
    return Put(at, "bo", DEVICE, f"bo-{number}", version, step)


def taken(at: float, number: int, version: int, mark: str | None) -> Entry:
    return PutTaken(at, "bo", DEVICE, f"bo-{number}", version, mark)


def edited(at: float, number: int, version: int, *, step: str = "", mark: str | None = "") -> Plant:
    """An accepted change; without another one the answer has its own mark."""
    mark = f"bo-{number}" if mark == "" else mark
    return added(put(at, number, None, step), taken(at + 0.1, number, version, mark))


def setup(version: int, mark: str | None) -> Plant:
    document = None if mark is None else {"mark": mark}
    return lambda e: e.sessions[DEVICE].update(setup_version=version, setup=document)


def sees(at: float, version: int, mark: str | None, asked_at: float = -1.0, **more: str) -> Plant:
    about = {"device": DEVICE, "who": "kiosk"} | more
    return added(SetupSeen(at, about["device"], about["who"], version, mark, asked_at))


PAIRS: Pairs = {
    "no accepted setup is lost, and its answer is its own": [
        (both(edited(9, 5, 5), setup(5, "bo-5")), edited(9, 5, 5)),
        (both(edited(9, 5, 5), setup(5, "bo-5")), both(edited(9, 5, 5), setup(5, "bo-2"))),
        (both(edited(9, 5, 5), setup(5, "bo-5")), both(edited(9, 5, 5), setup(5, None))),
        (
            both(edited(9, 5, 5, mark=None), setup(5, "bo-5")),
            both(edited(9, 5, 5, mark="x"), setup(5, "bo-5")),
        ),
        (
            both(edited(9, 5, 5, step="undo", mark="bo-1"), setup(5, "bo-1")),
            both(edited(9, 5, 5, step="undo", mark="bo-1"), setup(5, "bo-5")),
        ),
        (
            both(edited(9, 5, 5, step="undo", mark=None), setup(5, None)),
            both(edited(9, 5, 5, step="undo", mark=None), setup(5, "bo-2")),
        ),
        (both(added(put(9, 5)), setup(5, "bo-5")), setup(5, "bo-2")),  # its answer was lost
        (both(added(put(9, 5)), setup(5, "bo-5")), both(added(put(9, 5)), setup(6, "bo-5"))),
        (
            both(added(put(9, 5, 4), taken(9.1, 5, 5, None)), setup(5, "bo-5")),
            both(added(put(9, 5, 3), taken(9.1, 5, 5, None)), setup(5, "bo-5")),
        ),
        (both(edited(9, 5, 5), setup(5, "bo-5")), both(edited(9, 5, 4), setup(4, "bo-5"))),
        (  # accepted as one too far ahead
            both(edited(9, 5, 5), edited(9.2, 6, 6), setup(6, "bo-6")),
            both(edited(9, 5, 5), edited(9.2, 6, 9), setup(9, "bo-6")),
        ),
        *(  # numbers are left out in another life of Redis, and after a loss
            (
                both(added(put(9, 5, 4), taken(9.1, 5, good, None)), setup(good, "bo-5")),
                both(added(put(9, 5, 4), taken(9.1, 5, bad, None)), setup(bad, "bo-5")),
            )
            for good, bad in ((105, 104), (104 + 200, 6))
        ),
        (
            both(loss(8.9), added(put(9, 5, 4), taken(9.1, 5, 7, None)), setup(7, "bo-5")),
            both(loss(8.9), added(put(9, 5, 4), taken(9.1, 5, 4, None)), setup(4, "bo-5")),
        ),
        (nothing, lambda e: e.sessions.update(other={"setup_version": 1})),
        (lambda e: e.sessions.update(other={"setup_version": 0}), lambda e: e.sessions.clear()),
        (
            both(loss(9.05), edited(9, 5, 5), setup(0, None)),
            both(loss(8.9), edited(9, 5, 5), setup(4, "bo-2")),
        ),
        (both(loss(7, 6.65), setup(3, "bo-1")), both(loss(7, 6.75), setup(3, "bo-1"))),
    ],
    "steps back and forth lead where they came from": [
        (edited(9, 5, 5, step="undo", mark="bo-1"), edited(9, 5, 5, step="undo", mark="bo-2")),
        (edited(9, 5, 5), edited(9, 5, 5, step="redo", mark="bo-2")),
        *(
            (
                both(edited(9, 5, 5), edited(9.2, 6, 6, step="undo", mark=right)),
                both(edited(9, 5, 5), edited(9.2, 6, 6, step="undo", mark=wrong)),
            )
            for right, wrong in (("bo-2", "bo-1"), ("bo-2", None))
        ),
        (
            both(
                edited(9, 5, 5, step="undo", mark="bo-1"), edited(9.2, 6, 6, step="undo", mark=None)
            ),
            both(
                edited(9, 5, 5, step="undo", mark="bo-1"),
                edited(9.2, 6, 6, step="undo", mark="bo-1"),
            ),
        ),
        (  # twice back, once forth
            both(
                edited(9, 5, 5, step="undo", mark="bo-1"),
                edited(9.2, 6, 6, step="undo", mark=None),
                edited(9.4, 7, 7, step="redo", mark="bo-1"),
            ),
            both(
                edited(9, 5, 5, step="undo", mark="bo-1"),
                edited(9.2, 6, 6, step="undo", mark=None),
                edited(9.4, 7, 7, step="redo", mark="bo-2"),
            ),
        ),
        (  # a change forgets what could be gone forth to
            both(edited(9, 5, 5, step="undo", mark="bo-1"), edited(9.2, 6, 6)),
            both(
                edited(9, 5, 5, step="undo", mark="bo-1"),
                edited(9.2, 6, 6),
                edited(9.4, 7, 7, step="redo", mark="bo-2"),
            ),
        ),
        *(  # behind a gap nothing is known but what came after it
            (
                edited(9, 7, 7, step=step, mark="unknown"),
                both(edited(9, 7, 7), edited(9.2, 8, 8), edited(9.4, 9, 9, step=step, mark="bo-1")),
            )
            for step in ("undo", "redo")
        ),
        (
            both(
                edited(9, 7, 7, step="undo", mark="x"),
                edited(9.2, 8, 8, step="redo", mark="unknown"),
            ),
            both(
                edited(9, 7, 7, step="redo", mark="x"),
                edited(9.2, 8, 8, step="undo", mark="y"),
                edited(9.4, 9, 9, step="redo", mark="y"),
            ),
        ),
        (
            both(edited(9, 7, 7), edited(9.2, 8, 8, step="undo", mark="unknown")),
            both(
                edited(9, 7, 7),
                edited(9.2, 8, 8, step="undo", mark="z"),
                edited(9.4, 9, 9, step="redo", mark="z"),
            ),
        ),
        (
            both(loss(9.05), edited(9, 5, 5, step="redo", mark="x")),
            both(loss(5), edited(9, 5, 5, step="redo", mark="x")),
        ),
        (
            lambda e: e.entries.reverse(),
            both(edited(9, 5, 5, step="redo", mark="x"), lambda e: e.entries.reverse()),
        ),
    ],
    "devices are given the setups that were accepted": [
        (sees(9, 4, "bo-2"), sees(9, 4, "bo-4")),
        (sees(9, 3, "bo-1"), sees(9, 3, None)),
        (sees(9, 1, "bo-1"), sees(9, 1, "bo-2")),
        (both(sees(9, 7, "x"), sees(9.1, 7, "x")), both(sees(9, 7, "x"), sees(9.1, 7, "y"))),
        (
            both(sees(9, 7, "x"), sees(9.1, 7, "y", device="other")),
            both(sees(9, 7, "x"), sees(9.1, 7, None)),
        ),
        (sees(9, 3, "bo-1", 6.7), sees(9, 3, "bo-1", 6.71)),
        (sees(9, 2, "bo-2", 6.5), sees(9, 2, "bo-2", 6.51)),
        (sees(9, 0, None, 6.0, device="other"), sees(9, 0, None, 6.11)),
        (both(loss(9), sees(9, 4, "x")), both(loss(5), sees(9, 4, "x"))),
        (both(loss(9), sees(9.1, 0, None, 9.05)), both(loss(5), sees(9.1, 0, None, 9.05))),
    ],
}
