"""Session scope: which sessions an identity may touch, by what is stored about them.

The table (`service.security.permissions`) says which role may send an event; this module says about which
sessions. Both are asked before a handler runs. For a token without projects that is not a device's, nothing
here costs a call to Redis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from service import errors
from service.schema.limits import CALL_SESSIONS
from service.schema.names import known_id
from service.security import permissions
from service.security.permissions import Identity


class Summaries(Protocol):
    """The part of the session store that knows a session's project, archived or not."""

    def summaries(self, session_ids: Sequence[str]) -> Sequence[Mapping[str, str] | None]: ...


class Reads(Protocol):
    """The part of the session manager that reads the archive too."""

    def details(self, session_id: str) -> dict[str, Any] | None: ...


class SessionScope:
    """Checks identities against sessions."""

    def __init__(self, store: Summaries, reads: Reads) -> None:
        self._store = store
        self._reads = reads

    def check_session(self, identity: Identity, session_id: str) -> None:
        """Raise unless this session exists for the bearer.

        Raises:
            InvalidRequest: it is not an id; nothing is read.
            NotAllowed: the token is a device's, of another id.
            SessionNotFound: the session is in no project of the token's, or does not exist.

        Redis: one read, where the token has projects.
        """
        known_id(session_id)
        if identity.role == permissions.DEVICE and not identity.owns(session_id):
            raise errors.NotAllowed("A device acts on its own session only.")
        if identity.projects is None:
            return
        [row] = self._store.summaries([session_id])
        if row is None or not identity.sees(row.get("project_id")):
            raise errors.SessionNotFound(session_id=session_id)

    def check_sessions(self, identity: Identity, session_ids: Sequence[str]) -> None:
        """Raise unless all of these exist for the bearer, as `check_session`."""
        if identity.role == permissions.DEVICE or identity.projects is None:
            return
        for begin in range(0, len(session_ids), CALL_SESSIONS):
            some = session_ids[begin : begin + CALL_SESSIONS]
            for session_id, row in zip(some, self._store.summaries(some), strict=True):
                if row is None or not identity.sees(row.get("project_id")):
                    raise errors.SessionNotFound(session_id=session_id)

    def registration(
        self, identity: Identity, session_id: str, project_id: str | None
    ) -> str | None:
        """Return the project that a device registers with; None: the session keeps its own.

        Raises:
            NotAllowed: the id or the project, the present one too, is not one of the token's.

        Redis: one read, where the token has projects; of an id that Redis does not know, the archive.
        """
        if identity.role == permissions.DEVICE and not identity.owns(session_id):
            raise errors.NotAllowed("This token is for another device_id.")
        if identity.projects is None:
            return project_id
        [row] = self._store.summaries([session_id])
        known: Mapping[str, Any] | None = row or self._reads.details(session_id)
        if known is None:
            return identity.one_project(project_id)
        if not identity.sees(known.get("project_id")):
            raise errors.NotAllowed("This session is in no project of the token's.")
        return identity.one_project(project_id) if project_id is not None else None


def named_session(payload: Any) -> str | None:
    """Return the id that an event's payload names; None where it has none, or it is not an id."""
    if not isinstance(payload, dict):
        return None
    named = payload.get("session_id")
    if named is None:
        named = payload.get("device_id")
    return named if isinstance(named, str) and named else None
