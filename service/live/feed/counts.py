"""Counts of a scope: its active, inactive and archived sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from service.live.feed.scope import FLEET, PROJECT, Scope
from service.sessions import model

#: Sessions per read, as many as a page has.
PAGE_SESSIONS = 500


class CountStore(Protocol):
    """The part of the session store that counts."""

    def counts(self, project_id: str | None = None) -> dict[str, int]: ...
    def summaries(self, ids: Sequence[str]) -> Sequence[Mapping[str, str] | None]: ...


def counts_of(store: CountStore, scope: Scope) -> dict[str, int]:
    """Return `{active, inactive, archived}` within a scope.

    Redis: for the fleet and projects the sizes of indexes; for named sessions one read each, so the
    cost follows the scope, never the fleet. A session that is not in Redis counts nowhere.

    Raises:
        StoreUnavailable
    """
    if scope.kind == FLEET:
        return store.counts()
    found = dict.fromkeys((model.ACTIVE, model.INACTIVE, model.ARCHIVED), 0)
    if scope.kind == PROJECT:
        for project_id in scope.names:
            for state, count in store.counts(project_id).items():
                found[state] = found.get(state, 0) + count
        return found
    for begin in range(0, len(scope.names), PAGE_SESSIONS):
        for row in store.summaries(scope.names[begin : begin + PAGE_SESSIONS]):
            if row is not None and scope.admits(row.get("project_id")):
                state = row.get("state") or model.INACTIVE
                found[state] = found.get(state, 0) + 1
    return found
