"""`muster sessions delete` of many: which it chooses, and that what changed meanwhile stays; lifetimes of tokens."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from service.cli.sessions.deleting import choose, delete_each
from service.cli.token import parse_lifetime, token
from service.errors import PreconditionFailed, SessionNotFound

NOW_S = 10_000


def session(session_id: str, age_s: float = 0, *, is_connected: bool = False) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "is_connected": is_connected,
        "last_activity": NOW_S - age_s,
    }


class Manager:
    """Sessions in pages of two; those whose name begins with `archived` are not in Redis."""

    def __init__(self, *sessions: dict[str, Any]) -> None:
        self.sessions = sessions
        self.deleted: list[tuple[str, str]] = []
        self.store = SimpleNamespace(
            now_ms=lambda: NOW_S * 1000, cleanup=SimpleNamespace(states=self._states)
        )

    def get_sessions(self, states: Any, *, cursor: str | None, **_: Any) -> dict[str, Any]:
        first = int(cursor or 0)
        following = first + 2 if first + 2 < len(self.sessions) else None
        return {
            "sessions": self.sessions[first : first + 2],
            "next": None if following is None else str(following),
        }

    def _states(self, ids: list[str]) -> list[dict[str, str] | None]:
        return [
            None if one.startswith("archived") else {"generation": "7", "rev": "3"} for one in ids
        ]

    def delete_session(self, session_id: str, *, expected: str = "") -> None:
        if session_id == "changed":
            raise PreconditionFailed
        if session_id == "gone":
            raise SessionNotFound
        if session_id == "broken":
            raise ValueError("no")
        self.deleted.append((session_id, expected))


def chosen(manager: Manager, prefix: str | None, inactive_s: float | None) -> list[tuple[str, str]]:
    found = choose(manager, prefix, inactive_s)  # type: ignore[arg-type]
    return [(one.session_id, one.expected) for one in found]


def test_all_pages_are_looked_at_for_ids_with_this_prefix_that_were_not_active_for_so_long() -> (
    None
):
    manager = Manager(
        *(session("k-1", 100), session("k-2", 99), session("other", 100)),
        *(session("k-3", 500, is_connected=True), session("archived-k", 500), session("k-4", 500)),
    )
    assert chosen(manager, "k-", 100) == [("k-1", "7-3"), ("k-4", "7-3")]
    assert chosen(manager, "k-", None) == [(f"k-{number}", "7-3") for number in range(1, 5)]
    assert chosen(manager, None, 400) == [("archived-k", "archived"), ("k-4", "7-3")]


def test_what_changed_or_cannot_be_deleted_stays_and_holds_up_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    manager = Manager(*map(session, ("changed", "gone", "broken", "last")))
    stay = delete_each(manager, [*choose(manager, None, None)])  # type: ignore[arg-type]
    assert stay.keys() == {"changed", "broken"}
    assert manager.deleted == [("last", "7-3")]
    assert "changed stays: it changed meanwhile" in capsys.readouterr().err


def test_lifetimes_are_those_that_are_written_and_thirty_days_where_none_is() -> None:
    lifetimes = {"90s": 90, "15m": 900, "12h": 43_200, "30d": 2_592_000, "4w": 2_419_200}
    assert {text: parse_lifetime(text) for text in lifetimes} == lifetimes
    assert parse_lifetime("never") is None
    for text in ("0s", "0d", "5", "-1s", "1.5h", "99999d", ""):
        with pytest.raises(typer.BadParameter):
            parse_lifetime(text)
    assert inspect.signature(token).parameters["expires"].default == "30d"
