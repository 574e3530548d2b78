"""Entries and whom they concern: named sessions within a fence of projects, and the latest of many samples."""

from __future__ import annotations

from typing import Any

import orjson

from service.live.feed.chosen import latest
from service.live.feed.entries import Part, Routes, escape_project
from service.live.feed.scope import Scope


class Sink:
    """Notes what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []

    def add_data(self, part: Part, partition: int, number: int) -> None:
        self.got.append(("data", part.session.decode()))

    def add_state(self, state: Any, partition: int, number: int) -> None:
        self.got.append(("state", state.session.decode()))

    def add_removed(self, session: bytes, partition: int, number: int) -> None:
        self.got.append(("removed", session.decode()))

    def add_command(self, command: Any, partition: int, number: int) -> None:
        self.got.append(("command", command.session.decode()))


def part(session: str, *samples: tuple[str, int], rev: int) -> Part:
    json = orjson.dumps([[key, value, 1.0] for key, value in samples])
    return Part(session.encode(), b"", str(rev).encode(), json)


def test_named_sessions_are_shown_while_they_are_in_the_projects_of_the_token() -> None:
    routes, fenced, free = Routes(), Sink(), Sink()
    routes.add(Scope.sessions(["s1"]).within(frozenset({"p|1"})), fenced)
    routes.add(Scope.sessions(["s1"]), free)

    def data(project: str) -> None:
        head = b"1|" + escape_project(project) + b"|s1"
        routes.route(0, 1, [b"data", b"1", head, b'[["k",1,1.0]]'])

    def state(project: str, previous: str) -> None:
        fields = {"state": "s1", "project_id": project, "previous_project_id": previous}
        routes.route(0, 1, [word.encode() for pair in fields.items() for word in pair])

    data("p|1")
    data("p2")
    state("p2", "p|1")
    state("p3", "p2")
    state("p|1", "p3")
    assert fenced.got == [("data", "s1"), ("removed", "s1"), ("state", "s1")]
    assert free.got == [("data", "s1")] * 2 + [("state", "s1")] * 3


def test_latest_of_each_key_is_kept_over_all_that_came() -> None:
    """With the revs that they had, in their order."""
    rows = [
        [part("s1", ("a", 1), ("b", 2), ("a", 3), rev=3), part("s2", ("a", 9), rev=1)],
        [part("s1", ("c", 4), ("a", 5), rev=5)],
    ]
    kept = [
        [(p.session, list(zip(p.revs, p.samples, strict=True))) for p in row]
        for row in latest(rows)
    ]
    assert kept == [
        [(b"s1", [(2, ["b", 2, 1.0])]), (b"s2", [(1, ["a", 9, 1.0])])],
        [(b"s1", [(4, ["c", 4, 1.0]), (5, ["a", 5, 1.0])])],
    ]
    [row] = latest([[part("s1", ("a", 1), ("a", 2), rev=2)]])
    assert [p.samples for p in row] == [[["a", 2, 1.0]]]
