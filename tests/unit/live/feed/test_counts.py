"""Counts of a scope: all of its projects, all of its named sessions, and nobody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.live.feed.counts import PAGE_SESSIONS, counts_of
from service.live.feed.scope import Scope


class Store:
    """Sessions by id: project and state."""

    def __init__(self, sessions: dict[str, tuple[str, str]]) -> None:
        self.sessions = sessions
        self.asked: list[int] = []

    def counts(self, project_id: str | None = None) -> dict[str, int]:
        found: dict[str, int] = {}
        for project, state in self.sessions.values():
            if project_id in (None, project):
                found[state] = found.get(state, 0) + 1
        return found

    def summaries(self, ids: Sequence[str]) -> Sequence[Mapping[str, str] | None]:
        self.asked.append(len(ids))
        rows = [self.sessions.get(one) for one in ids]
        return [None if row is None else {"project_id": row[0], "state": row[1]} for row in rows]


SESSIONS = {
    **{f"a{n}": ("p1", "active") for n in range(PAGE_SESSIONS)},
    **{f"b{n}": ("p2", "active") for n in range(3)},
    "c": ("p2", "inactive"),
    "d": ("p3", "archived"),
    "e": ("", "inactive"),
}


def counts(scope: Scope) -> list[int]:
    found = counts_of(Store(SESSIONS), scope)
    return [found["active"], found["inactive"], found["archived"]]


def test_counts_are_those_of_the_scope() -> None:
    assert counts(Scope()) == [PAGE_SESSIONS + 3, 2, 1]
    assert counts(Scope.project("p2")) == [3, 1, 0]
    assert counts(Scope().within(frozenset({"p1", "p2"}))) == [PAGE_SESSIONS + 3, 1, 0]
    named = Scope.sessions([*SESSIONS, "unknown"])
    assert counts(named) == [PAGE_SESSIONS + 3, 2, 1]
    assert counts(named.within(frozenset({"p2", "p3"}))) == [3, 1, 1]
