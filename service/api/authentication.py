"""The door of every HTTP route: who asks, whether the table lets them, about which session.

One hook before every request, so no handler is reached past it. A route without a row in
`service.security.permissions` is refused to everybody. Handlers that show or make many sessions ask
`current_identity()` whose projects to keep to; about one session there is nothing left to ask.

A browser page of another origin that is listed (`auth.allowed_origins`) gets the CORS headers it needs;
`Admission` has refused all others before. No cookies are looked at anywhere, so none are allowed.
"""

from __future__ import annotations

import re
from typing import Literal, Protocol

from flask import Flask, Response, abort, g, request

from service import errors
from service.security import permissions
from service.security.http_guard import ALWAYS_OPEN
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
    """Which sessions somebody may touch."""

    def check_session(self, identity: Identity, session_id: str) -> None: ...


def current_identity() -> Identity:
    """Who asks now."""
    found: Identity = g.get("identity", permissions.EVERYBODY)
    return found


def install(
    app: Flask, tokens: Reader | None, session_scope: SessionScope, *, metrics: Metrics
) -> None:
    """Guard every route of the application, those that are added later too.

    Args:
        app: which has answered no request yet.
        tokens: reads them; None: there is no login, everybody is an admin.
        session_scope: for routes about one session.
        metrics: who may have /metrics: who has a token, everybody, nobody.
    """

    @app.before_request
    def check() -> Response | None:
        if request.url_rule is None:
            return None  # 404 or 405 to everybody
        if request.method == "OPTIONS":
            return None  # says which methods there are, and that stands in the docs
        row = route_of(request.method, request.url_rule.rule)
        right = permissions.ROUTES.get(row)
        if row == "GET /metrics":
            if metrics == "off":
                abort(404, "This node shows no metrics.")
            if metrics == "public":
                right = permissions.Right(frozenset(), permissions.OPEN)
        g.identity = _identity(tokens, right)
        _check(g.identity, right, session_scope)
        is_shown = tokens is not None or right is None or not right.is_public
        if g.identity.role and is_shown:
            request.environ.get(KNOWN, _nobody_asks)()
        return None

    @app.after_request
    def finish(response: Response) -> Response:
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="muster"'
        origin = request.headers.get("Origin")
        response.headers.add("Vary", "Origin")
        if origin and request.path not in ALWAYS_OPEN:  # there nobody looked at the origin
            headers = response.headers
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            if request.method == "OPTIONS":
                headers["Access-Control-Allow-Methods"] = METHODS
                headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        return response


def _nobody_asks() -> None:
    """Do nothing: the web server does not want to know."""


def _identity(tokens: Reader | None, right: permissions.Right | None) -> Identity:
    """Who asks.

    Raises:
        NotAuthenticated: with a token that is no good; on a public route that is as none.
    """
    if tokens is None:
        return permissions.EVERYBODY
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
        raise errors.NotAllowed("This concerns all projects, and the token is for some.")
    if right.reach == permissions.ONE:
        session_scope.check_session(identity, str((request.view_args or {})["session_id"]))


def route_of(method: str, rule: str) -> str:
    """Name a route as the table does."""
    verb = "GET" if method == "HEAD" else method
    return f"{verb} {re.sub(r'<[a-z]+:', '<', rule)}"
