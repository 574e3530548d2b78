"""Which samples a dashboard chose: filtered by key, the latest of an interval, or none."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from service.live.fanout.rendering import PendingChanges
from service.live.feed.choice import EVERYTHING, Choice
from service.live.feed.entries import Part
from service.live.feed.scope import Scope


def part(session: str, rev: int, *samples: Any) -> Part:
    rows = [[key, value, 1.0] for key, value in samples]
    return Part(session.encode(), b"", str(rev).encode(), orjson.dumps(rows))


def pending(choice: Choice, *parts: Part) -> list[Part]:
    changes = PendingChanges(choice)
    for number, one in enumerate(parts, 1):
        changes.add_data(one, 0, number)
    return [one for segment in changes.take() for one in segment.data]


def rows(parts: list[Part]) -> list[tuple[str, str, Any]]:
    return [(one.session.decode(), key, value) for one in parts for key, value, _ in one.samples]


def test_only_samples_of_chosen_keys_are_sent_with_their_own_revs() -> None:
    given = part("a", 7, ("t", 1), ("other", 2), ("t", 3))
    [left] = pending(Choice.of("all", ["t"]), given, part("b", 2, ("other", 1)))
    assert rows([left]) == [("a", "t", 1), ("a", "t", 3)]
    assert list(left.revs) == [5, 7]
    assert orjson.loads(left.fragment) == ["a", 7, [["t", 1, 1.0], ["t", 3, 1.0]]]


@pytest.mark.parametrize("key", ["ключ", 'qu"ote', "tab in words", "a\\b", "x-y", "ü1"])
def test_keys_of_every_spelling_are_found(key: str) -> None:
    """The look for the key in the JSON, before it is decoded, overlooks none."""
    escaped = Part(b"a", b"", b"1", orjson.dumps([[key, 1, 1.0]]))
    ascii_only = Part(b"a", b"", b"1", json.dumps([[key, 1, 1.0]]).encode())
    for one in (escaped, ascii_only):
        assert rows(pending(Choice.of("all", [key]), one)) == [("a", key, 1)]


def test_latest_leaves_one_sample_per_session_and_key() -> None:
    given = [part("a", n, ("t", n), ("u", -n)) for n in range(1, 50)] + [part("b", 1, ("t", 0))]
    assert sorted(rows(pending(Choice("latest"), *given))) == [
        ("a", "t", 49),
        ("a", "u", -49),
        ("b", "t", 0),
    ]


def test_latest_bounds_what_waits_for_the_interval() -> None:
    changes = PendingChanges(Choice("latest"))
    for number in range(1000):
        changes.add_data(part("a", number + 1, ("t", "x" * 1000)), 0, number)
    before = changes.size
    changes.leave_latest()
    assert changes.size < before / 100
    changes.add_data(part("a", 1001, ("t", "last")), 0, 1001)
    assert rows([one for segment in changes.take() for one in segment.data]) == [("a", "t", "last")]


def test_none_sends_no_samples_and_holds_none() -> None:
    changes = PendingChanges(Choice("none"))
    changes.add_data(part("a", 1, ("t", 1)), 0, 1)
    assert changes.is_empty


def test_cursor_and_group_of_another_choice_are_others() -> None:
    """A cursor of other columns would leave their older samples out; without a choice nothing changed."""
    plain = Scope.project("p")
    assert plain.choosing(Choice.of("all", None)).choice is EVERYTHING
    assert plain.choosing(EVERYTHING).digest == plain.digest
    others = [Choice("latest"), Choice("none"), Choice.of("all", ["t"]), Choice.of("all", ["u"])]
    digests = {plain.choosing(one).digest for one in others} | {plain.digest}
    assert len(digests) == 5
    assert Choice.of("all", ["t", "u", "t"]) == Choice.of("all", ["u", "t"])
    fleet = Scope().choosing(others[0])
    assert fleet.within(frozenset({"p"})).choice == others[0]
    named = Scope.sessions(["a"]).choosing(others[0])
    assert named.within(frozenset({"p"})).choice == others[0]
