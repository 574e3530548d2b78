"""`muster sessions delete` of many: what it would delete is shown first, and what changes meanwhile stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from service.errors import PreconditionFailed, SessionNotFound, passed_over
from service.manager.manager import SessionManager
from service.observability.logs import printable
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import ACTIVE, ARCHIVED, INACTIVE

#: An archived session has no state in Redis: one that came back since is not deleted.
_STILL_ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A session to delete."""

    summary: dict[str, Any]
    #: What it must still be: `generation-rev`.
    expected: str

    @property
    def session_id(self) -> str:
        """Return its id."""
        return str(self.summary["session_id"])


def choose(
    manager: SessionManager, prefix: str | None, inactive_s: float | None
) -> Iterator[Chosen]:
    """Yield the sessions with this prefix of their id, or all, that were not active for so long.

    Connected ones are only among them where no time is given.
    """
    before_s = None if inactive_s is None else manager.store.now_ms() / 1000 - inactive_s
    states = (ACTIVE, INACTIVE, ARCHIVED)
    cursor: str | None = None
    while True:
        page = manager.get_sessions(
            states, limit=CALL_SESSIONS, cursor=cursor, q=prefix or None, iso=False
        )
        found = [one for one in page["sessions"] if _matches(one, prefix, before_s)]
        raws = manager.store.cleanup.states([one["session_id"] for one in found])
        for one, raw in zip(found, raws, strict=True):
            if raw is None:
                yield Chosen(one, _STILL_ARCHIVED)
            else:
                yield Chosen(one, f"{raw['generation']}-{raw.get('rev') or 0}")
        cursor = page["next"]
        if cursor is None:
            return


def _matches(one: dict[str, Any], prefix: str | None, before_s: float | None) -> bool:
    if prefix is not None and not one["session_id"].startswith(prefix):
        return False
    if before_s is None:
        return True
    return not one["is_connected"] and (one["last_activity"] or 0) <= before_s


def delete_each(manager: SessionManager, chosen: list[Chosen]) -> dict[str, str]:
    """Delete sessions, each unless it changed; return why those stay that do."""
    stay: dict[str, str] = {}
    for one in chosen:
        try:
            manager.delete_session(one.session_id, expected=one.expected)
        except SessionNotFound:
            continue  # it is gone, as it should be
        except PreconditionFailed:
            stay[one.session_id] = "it changed meanwhile"
        except Exception as exc:  # noqa: BLE001  logged; one that cannot be deleted holds up no other
            stay[one.session_id] = passed_over(exc, "delete", one.session_id).message
    for session_id, why in stay.items():
        typer.echo(f"{printable(session_id)} stays: {printable(why)}", err=True)
    return stay
