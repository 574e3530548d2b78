"""Snapshots over many pages: every session of the scope, whatever lists and pages it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from service import errors
from service.live.feed.scope import Scope
from service.sessions import model
from service.sessions.model import Page
from service.sockets.watching import snapshot as module
from service.sockets.watching.snapshot import Wish, read_page

ASKED = {"scope": "fleet", "batch": True, "interval_ms": None}


class Lists:
    """Sessions in the order in which they came into their state; a cursor is the place of the last one."""

    def __init__(self, active: int, inactive: int) -> None:
        self.rows = {
            model.ACTIVE: [self._row(f"a{n:04}", model.ACTIVE) for n in range(active)],
            model.INACTIVE: [self._row(f"i{n:04}", model.INACTIVE) for n in range(inactive)],
        }

    @staticmethod
    def _row(session_id: str, state: str) -> dict[str, str]:
        return {"session_id": session_id, "state": state, "project_id": f"p{session_id[-1]}"}

    def page(self, state: str, *, limit: int, cursor: str | None = None, **filters: Any) -> Page:
        rows = self.rows[state]
        wanted = filters.get("project_id")
        begin = int(cursor or 0)
        some = [row for row in rows[begin : begin + limit] if wanted in (None, row["project_id"])]
        end = begin + limit
        return Page(some, str(end) if end < len(rows) else None, None)

    def summaries(self, ids: Sequence[str]) -> Sequence[Mapping[str, str] | None]:
        known = {row["session_id"]: row for rows in self.rows.values() for row in rows}
        return [known.get(one) for one in ids]


def everything(lists: Lists, scope: Scope, asked: Any = ASKED) -> tuple[list[str], list[int]]:
    """Ids of all pages as a client asks for them, and the sizes of the pages."""
    wish: Wish | None = Wish(asked, "start")
    found: list[str] = []
    sizes = []
    while wish is not None:
        page = read_page(lists, scope, Wish.from_token(wish.token()))
        ids = [one["session_id"] for one in [*page.active, *page.inactive]]
        found += ids
        sizes.append(len(ids))
        wish = page.next
        assert len(sizes) < 100
    return found, sizes


@pytest.mark.parametrize(
    ("active", "inactive"), [(0, 0), (1, 0), (0, 25), (25, 25), (20, 20), (10, 7), (35, 1)]
)
def test_snapshot_has_every_session_once(
    monkeypatch: pytest.MonkeyPatch, active: int, inactive: int
) -> None:
    """Also those that became inactive before, when the active ones fill several pages."""
    monkeypatch.setattr(module, "PAGE_SESSIONS", 10)
    lists = Lists(active, inactive)
    found, sizes = everything(lists, Scope.parse("fleet"))
    assert found == [row["session_id"] for rows in lists.rows.values() for row in rows]
    assert all(size == 10 for size in sizes[:-1])


def test_snapshot_of_a_project_looks_through_all_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few of a page are in it."""
    monkeypatch.setattr(module, "PAGE_SESSIONS", 10)
    found, _ = everything(Lists(35, 35), Scope.parse({"project_id": "p3"}))
    assert found == [f"{kind}{n:04}" for kind in "ai" for n in (3, 13, 23, 33)]


def test_snapshot_of_named_sessions_goes_on_behind_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that are not there are left out, and end nothing."""
    monkeypatch.setattr(module, "PAGE_SESSIONS", 10)
    names = [f"a{n:04}" for n in range(25)] + ["gone-1", "gone-2"]
    found, sizes = everything(Lists(25, 0), Scope.parse({"sessions": names}))
    assert found == [f"a{n:04}" for n in range(25)]
    assert sizes == [10, 10, 5]


def test_snapshot_of_named_sessions_shows_none_of_a_project_that_the_token_is_not_for() -> None:
    names = [f"a{n:04}" for n in range(20)]
    scope = Scope.parse({"sessions": names}).within(frozenset({"p3"}))
    assert everything(Lists(20, 0), scope)[0] == ["a0003", "a0013"]


@pytest.mark.parametrize("place", range(5))
def test_page_token_that_was_changed_is_refused(place: int) -> None:
    """Of another version, too: what it means there may not be what it means here."""
    parts: list[Any] = [1, ASKED, "start", model.ACTIVE, None]
    parts[place] = [2, "fleet", 5, "archived", 7][place]
    token = module.base64.urlsafe_b64encode(module.orjson.dumps(parts)).decode().rstrip("=")
    with pytest.raises(errors.InvalidRequest):
        Wish.from_token(token)
