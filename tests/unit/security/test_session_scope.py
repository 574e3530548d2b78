"""Tokens with projects against sessions: live or archived, named alone or by the thousand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from service import errors
from service.schema.limits import CALL_SESSIONS
from service.security.permissions import DEVICE, OPERATOR, Identity
from service.security.session_scope import SessionScope

OURS = Identity(OPERATOR, projects=frozenset({"p1"}))
DEVICE_OF_P1 = Identity(DEVICE, prefix="d-", projects=frozenset({"p1"}))


class Sessions:
    """Project by id, of those in Redis and of those in the archive alone."""

    def __init__(self) -> None:
        self.live: dict[str, str] = {}
        self.archived: dict[str, str] = {}
        self.calls: list[int] = []

    def summaries(self, session_ids: Sequence[str]) -> Sequence[Mapping[str, str] | None]:
        self.calls.append(len(session_ids))
        return [{"project_id": self.live[one]} if one in self.live else None for one in session_ids]

    def details(self, session_id: str) -> dict[str, Any] | None:
        found = self.archived.get(session_id)
        return None if found is None else {"project_id": found}


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def scope(sessions: Sessions) -> SessionScope:
    return SessionScope(sessions, sessions)


def test_all_of_many_sessions_must_exist_for_the_bearer(
    sessions: Sessions, scope: SessionScope
) -> None:
    """Also those beyond one call; and one of another project is as unknown as one that is not there."""
    ids = [f"d-{number}" for number in range(CALL_SESSIONS + 1)]
    sessions.live = dict.fromkeys(ids, "p1")
    scope.check_sessions(OURS, ids)
    assert sessions.calls == [CALL_SESSIONS, 1]
    for project in ("p2", ""):
        sessions.live[ids[-1]] = project
        with pytest.raises(errors.SessionNotFound):
            scope.check_sessions(OURS, ids)
    del sessions.live[ids[-1]]
    with pytest.raises(errors.SessionNotFound):
        scope.check_sessions(OURS, ids)


@pytest.mark.parametrize("place", ["live", "archived"])
@pytest.mark.parametrize("project", ["p2", ""])
@pytest.mark.parametrize("wanted", [None, "p1"])
def test_device_takes_no_session_out_of_a_project_that_its_token_is_not_for(
    sessions: Sessions, scope: SessionScope, place: str, project: str, wanted: str | None
) -> None:
    """Wherever the session is, and whatever project is asked for."""
    getattr(sessions, place)["d-1"] = project
    with pytest.raises(errors.NotAllowed):
        scope.registration(DEVICE_OF_P1, "d-1", wanted)
    getattr(sessions, place)["d-1"] = "p1"
    assert scope.registration(DEVICE_OF_P1, "d-1", wanted) == wanted


@pytest.mark.parametrize("place", ["live", "archived"])
def test_device_moves_its_session_into_no_project_that_its_token_is_not_for(
    sessions: Sessions, scope: SessionScope, place: str
) -> None:
    getattr(sessions, place)["d-1"] = "p1"
    with pytest.raises(errors.NotAllowed):
        scope.registration(DEVICE_OF_P1, "d-1", "p2")


def test_device_makes_a_session_in_the_project_of_its_token_only(scope: SessionScope) -> None:
    assert scope.registration(DEVICE_OF_P1, "d-new", None) == "p1"
    for project, device in (("p2", "d-new"), (None, "e-new")):
        with pytest.raises(errors.NotAllowed):
            scope.registration(DEVICE_OF_P1, device, project)


def test_what_is_no_id_is_told_before_anything_is_read(
    sessions: Sessions, scope: SessionScope
) -> None:
    for identity in (OURS, DEVICE_OF_P1):
        with pytest.raises(errors.InvalidRequest):
            scope.check_session(identity, "d-\udcff")
    assert sessions.calls == []


def test_session_that_is_not_there_and_one_of_others_look_alike(
    sessions: Sessions, scope: SessionScope
) -> None:
    sessions.live = {"d-1": "p1", "d-2": "p2"}
    scope.check_session(OURS, "d-1")
    for session_id in ("d-2", "d-none"):
        with pytest.raises(errors.SessionNotFound):
            scope.check_session(OURS, session_id)
    with pytest.raises(errors.NotAllowed):
        scope.check_session(DEVICE_OF_P1, "e-1")
