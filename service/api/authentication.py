"""Authentication and authorization of every HTTP route, and CORS headers.

One hook runs before every request, so no handler can be reached without it. It refuses every route that
has no row in `service.security.permissions`, and checks the session that the path names. Handlers that
list or create sessions must restrict themselves to the projects of `current_identity()`.

Pages of listed origins (`auth.allowed_origins`) get the CORS headers they need; `Admission` has refused
all other origins before. The service reads no cookies, so CORS allows none.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, Protocol

from flask import Flask, Response, abort, g, request

from service import errors
from service.acting import SERVICE, Actor, act_for
from service.security import permissions
from service.security.http_guard import UNCHECKED
from service.security.permissions import Identity
from service.security.tokens import bearer
from service.transport.http.guard import KNOWN

#: What pages of listed origins may send and read.
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"
RESPONSE_HEADERS = "Content-Disposition, ETag, Location, Retry-After"
METHODS = "GET, POST, PUT, PATCH, DELETE"

Metrics = Literal["token", "public", "off"]


class Reader(Protocol):
    """Reads tokens; see `service.security.tokens`."""

    def read(self, token: object) -> Identity: ...


class SessionScope(Protocol):
    """Checks which sessions an identity may use."""

    def check_session(self, identity: Identity, session_id: str) -> None: ...


def current_identity() -> Identity:
    """Return the identity of the current request."""
    found: Identity = g.get("identity", permissions.EVERYBODY)
    return found


def install(
    app: Flask, tokens: Reader | None, session_scope: SessionScope, *, metrics: Metrics
) -> None:
    """Guard every route of the application, those that are added later too.

    Args:
        app: must not have answered a request yet.
        tokens: reads tokens; None: there is no login, every caller is an admin.
        session_scope: checks routes about one session.
        metrics: who may read /metrics: callers with a token, all, none.
    """

    @app.before_request
    def check() -> Response | None:
        if request.url_rule is None:
            return None  # 404 or 405 to everybody
        if request.method == "OPTIONS":
            return None  # it only lists methods, which are documented anyway
        row = route_of(request.method, request.url_rule.rule)
        right = permissions.ROUTES.get(row)
        if row == "GET /metrics":
            if metrics == "off":
                abort(404, "Metrics are switched off on this node.")
            if metrics == "public":
                right = permissions.Right(frozenset(), permissions.OPEN)
        g.identity = _identity(tokens, right)
        act_for(Actor(g.identity.name, g.identity.role, "rest"))
        _check(g.identity, right, session_scope)
        is_shown = tokens is not None or right is None or not right.is_public
        if g.identity.role and is_shown:
            request.environ.get(KNOWN, _ignore)()
        return None

    @app.teardown_request
    def act_for_service(_: BaseException | None) -> None:
        act_for(SERVICE)  # the task of a connection may serve others after this one

    @app.after_request
    def finish(response: Response) -> Response:
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="muster"'
        origin = request.headers.get("Origin")
        response.headers.add("Vary", "Origin")
        if origin and UNCHECKED not in request.environ:
            headers = response.headers
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            if request.method == "OPTIONS":
                headers["Access-Control-Allow-Methods"] = METHODS
                headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        return response


def _ignore() -> None:
    """Do nothing: this web server does not track authenticated connections."""


def _identity(tokens: Reader | None, right: permissions.Right | None) -> Identity:
    """Return the identity of the request.

    Raises:
        NotAuthenticated: the token is not valid; a public route ignores such a token.
    """
    if tokens is None:
        return permissions.NOBODY if UNCHECKED in request.environ else permissions.EVERYBODY
    token = bearer(request.headers.get("Authorization", ""))
    if token is None:
        return permissions.NOBODY
    try:
        return tokens.read(token)
    except errors.NotAuthenticated:
        if right is not None and right.is_public:
            return permissions.NOBODY
        raise


def _check(
    identity: Identity, right: permissions.Right | None, session_scope: SessionScope
) -> None:
    if right is not None and right.is_public:
        return
    if not identity.role:
        raise errors.NotAuthenticated("Send `Authorization: Bearer <token>`.")
    if right is None or not identity.may(right):
        raise errors.NotAllowed(f"The role `{identity.role}` may not do that.")
    if right.reach == permissions.ALL and identity.projects is not None:
        raise errors.NotAllowed("This route covers all projects, but the token is limited to some.")
    if right.reach == permissions.ONE:
        session_scope.check_session(identity, str((request.view_args or {})["session_id"]))


@cache
def route_of(method: str, rule: str) -> str:
    """Return the name of a route in the table of permissions."""
    verb = "GET" if method == "HEAD" else method
    return f"{verb} {re.sub(r'<[a-z]+:', '<', rule)}"
