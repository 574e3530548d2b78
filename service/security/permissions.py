"""Permissions: one table of roles against events and routes, and the limits in a token.

Every entry point asks this table and nothing else, and what is not in it is refused, so a new event or
route is refused to every role until it has a row. docs/protocol.md shows the table, and tests compare both with
the code.

A row names roles and a *reach*: which sessions the event or route touches. The reach says how the two
limits of a token apply. A token of a device is bound to one id or a prefix and acts on those only; a
token with projects sees the sessions of these projects and nothing else.

* OWN: the session that the socket itself registered, or that the request of a device is about.
* ONE: a session that is named. One of another project is as unknown as one that does not exist.
* SOME: many sessions, narrowed to the token's projects.
* ALL: the service as a whole; refused to tokens with projects.
* OPEN: no session: pages, health.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service import errors

DEVICE, VIEWER, OPERATOR, ADMIN = "device", "viewer", "operator", "admin"
ROLES: Final = (DEVICE, VIEWER, OPERATOR, ADMIN)

OWN, ONE, SOME, ALL, OPEN = "own", "one", "some", "all", "open"

#: The last character of a prefix, so that a token for `kiosk-1-` is not one for `kiosk-12`.
PREFIX_ENDS = ("-", "_", ".", ":", "/")


@dataclass(frozen=True, slots=True)
class Right:
    """A row: which roles, and on which sessions. No roles: everybody, also without a token."""

    roles: frozenset[str]
    reach: str

    @property
    def is_public(self) -> bool:
        return not self.roles


_DEVICES = frozenset({DEVICE, ADMIN})
_READERS = frozenset({VIEWER, OPERATOR, ADMIN})
_WRITERS = frozenset({OPERATOR, ADMIN})
_ADMINS = frozenset({ADMIN})
_ALL = frozenset(ROLES)
_NOBODY: frozenset[str] = frozenset()

EVENTS: Mapping[str, Right] = {
    "register": Right(_DEVICES, OWN),
    "update_data": Right(_DEVICES, OWN),
    "update_telemetry": Right(_DEVICES, OWN),
    "command_result": Right(_DEVICES, OWN),
    "pong": Right(_DEVICES, OWN),
    "ping": Right(_ALL, OWN),
    "update_setup": Right(frozenset({DEVICE, OPERATOR, ADMIN}), ONE),
    "register_vue": Right(_READERS, SOME),
    "get_active_sessions": Right(_READERS, SOME),
    "get_inactive_sessions": Right(_READERS, SOME),
    "get_active_session": Right(_READERS, ONE),
    "get_inactive_session": Right(_READERS, ONE),
    "get_data": Right(_READERS, ONE),
    "join_session": Right(_READERS, ONE),
    "leave_session": Right(_READERS, ONE),
    "send_command": Right(_WRITERS, ONE),
    "delete_session": Right(_WRITERS, ONE),
    "undo_setup": Right(_WRITERS, ONE),
    "redo_setup": Right(_WRITERS, ONE),
}

_ID = "/api/v1/sessions/<session_id>"

#: `METHOD rule`, with Flask's names of the variables; HEAD counts as GET.
ROUTES: Mapping[str, Right] = {
    "GET /": Right(_NOBODY, OPEN),
    "GET /healthz": Right(_NOBODY, OPEN),
    "GET /readyz": Right(_NOBODY, OPEN),
    "GET /metrics": Right(_READERS, ALL),
    "GET /dashboard": Right(_NOBODY, OPEN),
    "GET /dashboard/": Right(_NOBODY, OPEN),
    "GET /dashboard/<path>": Right(_NOBODY, OPEN),
    "GET /favicon.ico": Right(_NOBODY, OPEN),
    "GET /test": Right(_NOBODY, OPEN),
    "GET /test/test.js": Right(_NOBODY, OPEN),
    "GET /test/test.css": Right(_NOBODY, OPEN),
    "GET /client/muster-client.js": Right(_NOBODY, OPEN),
    "GET /api/docs": Right(_NOBODY, OPEN),
    "GET /api/docs/": Right(_NOBODY, OPEN),
    "GET /api/docs/docs.js": Right(_NOBODY, OPEN),
    "GET /api/docs/swagger-ui.css": Right(_NOBODY, OPEN),
    "GET /api/docs/swagger-ui-bundle.js": Right(_NOBODY, OPEN),
    "GET /api/docs/swagger.svg": Right(_NOBODY, OPEN),
    "GET /api/v1/openapi.json": Right(_NOBODY, OPEN),
    "GET /api/v1/asyncapi.json": Right(_NOBODY, OPEN),
    "GET /api/v1/sessions": Right(_READERS, SOME),
    "POST /api/v1/sessions": Right(_WRITERS, SOME),
    "POST /api/v1/sessions/cleanup": Right(_WRITERS, ALL),
    f"GET {_ID}": Right(_READERS, ONE),
    f"DELETE {_ID}": Right(_WRITERS, ONE),
    f"GET {_ID}/info": Right(_READERS, ONE),
    f"GET {_ID}/timeline": Right(_READERS, ONE),
    f"GET {_ID}/clients": Right(_READERS, ONE),
    f"GET {_ID}/data": Right(_READERS, ONE),
    f"GET {_ID}/data/<key>": Right(_READERS, ONE),
    f"POST {_ID}/disconnect": Right(_WRITERS, ONE),
    f"POST {_ID}/archive": Right(_WRITERS, ONE),
    f"POST {_ID}/restore": Right(_WRITERS, ONE),
    f"POST {_ID}/telemetry": Right(frozenset({DEVICE, OPERATOR, ADMIN}), ONE),
    f"GET {_ID}/setup": Right(_ALL, ONE),
    f"GET {_ID}/setup/versions/<version>": Right(_ALL, ONE),
    f"PUT {_ID}/setup": Right(_WRITERS, ONE),
    f"PATCH {_ID}/setup": Right(_WRITERS, ONE),
    f"POST {_ID}/setup/undo": Right(_WRITERS, ONE),
    f"POST {_ID}/setup/redo": Right(_WRITERS, ONE),
    f"GET {_ID}/commands": Right(_READERS, ONE),
    f"POST {_ID}/commands": Right(_WRITERS, ONE),
    f"GET {_ID}/commands/<command_id>": Right(_READERS, ONE),
    f"DELETE {_ID}/commands/<command_id>": Right(_WRITERS, ONE),
    "POST /api/v1/devices/<device_id>/updates": Right(_DEVICES, OWN),
    "GET /api/v1/devices/<device_id>/commands": Right(_DEVICES, OWN),
    "POST /api/v1/commands": Right(_WRITERS, SOME),
    "GET /api/v1/commands/<batch_id>": Right(_READERS, SOME),
    "GET /api/v1/archive/<session_id>": Right(_READERS, ONE),
    "POST /api/v1/archive/verify": Right(_ADMINS, ALL),
    "GET /api/v1/archive/quarantine": Right(_READERS, ALL),
    "GET /api/v1/archive/quarantine/<item>": Right(_READERS, ALL),
    "POST /api/v1/archive/quarantine": Right(_ADMINS, ALL),
    "GET /api/v1/nodes": Right(_READERS, ALL),
    "GET /api/v1/stats": Right(_READERS, ALL),
    "GET /api/v1/alarms": Right(_READERS, ALL),
    "GET /api/v1/jobs": Right(_ADMINS, ALL),
    "GET /api/v1/jobs/<job_id>": Right(_ADMINS, ALL),
    "POST /api/v1/jobs/<job_id>/retry": Right(_ADMINS, ALL),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """The bearer of a token, as authentication found it."""

    role: str
    #: Of a device: the one id it may register, or the prefix of its ids.
    device: str = ""
    prefix: str = ""
    #: None: every project. Empty: none at all.
    projects: frozenset[str] | None = None
    #: When the token expires, seconds since 1970; None: never.
    expires_s: float | None = None
    #: Equal for the same token; "" without one.
    token_id: str = ""
    #: The token's `sub`; "" without one.
    name: str = ""

    def may(self, right: Right | None) -> bool:
        """Return whether the role is in this row; without a row no role may."""
        return right is not None and (right.is_public or self.role in right.roles)

    @property
    def events(self) -> frozenset[str]:
        """Return the events that this role may send."""
        return _EVENTS_OF.get(self.role, frozenset())

    def owns(self, session_id: str) -> bool:
        """Return whether a device's token is bound to this id."""
        if self.prefix:
            return len(session_id) > len(self.prefix) and session_id.startswith(self.prefix)
        return bool(self.device) and session_id == self.device

    def sees(self, project_id: str | None) -> bool:
        """Return whether sessions of this project exist for the bearer."""
        return self.projects is None or (project_id or "") in self.projects

    def narrow(self, project_id: str | None) -> tuple[str | None, frozenset[str] | None]:
        """Return what a list may show: the one project that is asked for, and those to filter by.

        Raises:
            NotAllowed: the project asked for is not one of the token's.
        """
        if self.projects is None:
            return project_id or None, None
        if project_id:
            self._require(project_id)
            return project_id, None
        if len(self.projects) == 1:
            [only] = self.projects
            return only, None
        return None, self.projects

    def one_project(self, project_id: str | None) -> str | None:
        """Return the project of something new: the one named, or the token's only one.

        Raises:
            NotAllowed: it is not one of the token's, or the token has several and none is named.
        """
        if self.projects is None:
            return project_id
        if not project_id and len(self.projects) == 1:
            [project_id] = self.projects
        self._require(project_id or "")
        return project_id

    def _require(self, project_id: str) -> None:
        if not self.sees(project_id):
            raise errors.NotAllowed("Name a project_id that this token is for.")


_EVENTS_OF: Mapping[str, frozenset[str]] = {
    role: frozenset(event for event, right in EVENTS.items() if role in right.roles)
    for role in ROLES
}

#: Everybody, where there is no login (`auth.mode` open).
EVERYBODY: Final = Identity(ADMIN)
#: A client without a token.
NOBODY: Final = Identity("")
