"""Snapshots: the pages of summaries that a dashboard starts from.

The position of the feed is noted before the first page is read, and changes are sent from there
on: a session that changes while pages are read, or moves from the active to the inactive ones, is
sent again by the feed. So a session may be on two pages (the later one is right) or on none, but
after the last page and the first updates the dashboard has all of them.

Everything the next page needs is in its token: what was asked for, the position of the feed, and
the cursor of the list. A node keeps nothing between two pages, and any node can serve the next one.
"""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from service import errors
from service.live.feed.scope import PROJECT, SESSIONS, Scope
from service.sessions import model
from service.sessions.latest_values import ValueStore, page_with_values

PAGE_SESSIONS = 500


class SessionLists(ValueStore, Protocol):
    """The part of the session store that lists summaries."""

    def page(
        self,
        state: str,
        *,
        limit: int,
        cursor: str | None = ...,
        q: str | None = ...,
        project_id: str | None = ...,
    ) -> model.Page: ...

    def summaries(self, ids: Sequence[str]) -> Sequence[Mapping[str, str] | None]: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What a dashboard asked for, and where its snapshot continues."""

    asked: Any  #: all but `cursor` and `page`, as `register_vue` takes it
    start: str  #: the feed's cursor when the snapshot began
    state: str = model.ACTIVE  #: which list is being read
    after: str | None = None  #: the list's own cursor; None: its beginning

    def token(self) -> str:
        """Encode the opaque `page` that asks for the next page."""
        parts = [1, self.asked, self.start, self.state, self.after]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")

    @classmethod
    def from_token(cls, token: str) -> Wish:
        """Decode a token. Clients can change it: check again what was `asked`.

        Raises:
            InvalidRequest
        """
        try:
            padded = token + "=" * (-len(token) % 4)
            text = base64.b64decode(padded, b"-_", validate=True)
            version, asked, start, state, after = orjson.loads(text)
        except (ValueError, TypeError) as error:
            raise errors.InvalidRequest("`page` is not a token of this service.") from error
        fits = (
            version == 1
            and isinstance(asked, dict)
            and isinstance(start, str)
            and state in (model.ACTIVE, model.INACTIVE)
            and (after is None or isinstance(after, str))
        )
        if not fits:
            raise errors.InvalidRequest("`page` is not a token of this service.")
        return cls(asked, start, state, after)


#: Raw summaries, and where the next ones are.
_Rows = tuple[list[Mapping[str, str]], Wish | None]


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """Summaries, each with the state it had when it was read."""

    active: list[dict[str, Any]]
    inactive: list[dict[str, Any]]
    next: Wish | None  #: None: this was the last page


def read_page(store: SessionLists, scope: Scope, wish: Wish) -> SnapshotPage:
    """Read at most `PAGE_SESSIONS` summaries of the scope from the position of the wish.

    They carry the latest values of the data keys that the scope chooses.

    Raises:
        InvalidRequest: the cursor of the list is not one of ours.

    Redis: one or two list pages (more where a project's sessions are few among many), or one
    read of that many summaries.
    """

    def read(limit: int) -> _Rows:
        return (_of_ids if scope.kind == SESSIONS else _of_lists)(store, scope, wish, limit)

    keys = scope.choice.keys
    if keys is None:
        (rows, following), values = read(PAGE_SESSIONS), None
    else:
        (rows, following), values = page_with_values(store, keys, read, _ids_of, PAGE_SESSIONS)
    active: list[dict[str, Any]] = []
    inactive: list[dict[str, Any]] = []
    for row in rows:
        one = model.summary(row)
        if values is not None:
            one["values"] = values.get(row["session_id"], {})
        (active if one["state"] == model.ACTIVE else inactive).append(one)
    return SnapshotPage(active, inactive, following)


def _ids_of(page: _Rows) -> list[str]:
    return [row["session_id"] for row in page[0]]


def _of_lists(store: SessionLists, scope: Scope, wish: Wish, limit: int) -> _Rows:
    if scope.kind == PROJECT and not scope.names:
        return [], None
    found: list[Mapping[str, str]] = []
    place: Wish | None = wish
    while place is not None and len(found) < limit:
        page = store.page(
            place.state,
            limit=limit - len(found),
            cursor=place.after,
            project_id=scope.project_id,
        )
        found += [
            row for row in page.items if scope.matches(row["session_id"], row.get("project_id"))
        ]
        if page.next is not None:
            place = replace(place, after=page.next)
        elif place.state == model.ACTIVE:
            place = replace(place, state=model.INACTIVE, after=None)
        else:
            place = None
    return found, place


def _of_ids(store: SessionLists, scope: Scope, wish: Wish, limit: int) -> _Rows:
    ids = scope.names
    begin = bisect_right(ids, wish.after) if wish.after is not None else 0
    some = ids[begin : begin + limit]
    rows = store.summaries(some) if some else []
    more = begin + len(some) < len(ids)
    following = replace(wish, after=some[-1]) if more else None
    return [
        row for row in rows if row is not None and scope.admits(row.get("project_id"))
    ], following
