"""The web application of a node: Flask, Flask-SocketIO, and the few pages without an API.

This module only puts together what the node's steps built; it opens nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, Response, request
from flask_socketio import SocketIO

from service.api import problems
from service.api.authentication import current_identity
from service.node import dashboard
from service.observability.health import Health
from service.security import permissions
from service.security.http_guard import HttpGuard

WEB_DIR = Path(__file__).parents[1] / "web"
#: The test page; a fixed list, so that no path is ever made from a request.
TEST_FILES = {
    "/test": ("test.html", "text/html; charset=utf-8"),
    "/test/test.js": ("test.js", "text/javascript; charset=utf-8"),
    "/test/test.css": ("test.css", "text/css; charset=utf-8"),
}
#: The client for pages, of its own origin and of `auth.allowed_origins`; made by clients/js/bundle.py.
CLIENT_PATH, CLIENT_FILE = "/client/muster-client.js", "muster-client.js"
#: In addition to those of every answer (service.transport.http.guard).
SECURITY_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


#: `connect-src 'self'` covers the page's websocket to its own host, `@nodes` is where the other nodes are.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' @nodes; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_app(nodes: Callable[[], str] = str) -> Flask:
    """Create the Flask application: pages, and errors as `application/problem+json`.

    Args:
        nodes: where pages may connect apart from their own node, for `connect-src`.
    """
    app = Flask("muster", static_folder=None)

    @app.get("/")
    def index() -> Response:
        accepted = request.accept_mimetypes
        response = Response("Server is running", mimetype="text/plain")
        if accepted["text/html"] > accepted["text/plain"]:  # a browser; not curl, which takes all
            response.status_code = 303
            response.headers["Location"] = dashboard.ROOT
        response.headers["Vary"] = "Accept"
        return response

    for path, (name, content_type) in TEST_FILES.items():
        body = (WEB_DIR / name).read_bytes()
        app.add_url_rule(path, name, _page(body, content_type))

    app.add_url_rule(CLIENT_PATH, CLIENT_FILE, _client((WEB_DIR / CLIENT_FILE).read_bytes()))
    dashboard.install(app, lambda allowed: POLICY.replace("@nodes", allowed), nodes)
    problems.install(app)

    @app.after_request
    def protect(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", POLICY.replace("@nodes", nodes()))
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return app


def install_probes(
    app: Flask, *, health: Health, expose_metrics: Callable[[], bytes], node_id: str
) -> None:
    """Add the routes for those that watch the node: /healthz, /readyz, /metrics."""

    @app.get("/healthz")
    def healthz() -> Response:
        return _json({"ok": True, "node_id": node_id})

    @app.get("/readyz")
    def readyz() -> Response:
        ready, shown = health.look()
        if not current_identity().may(
            permissions.ROUTES["GET /metrics"]
        ):  # the state of nodes is not for everybody
            shown = {"ready": ready}
        return _json({**shown, "node_id": node_id}, 200 if ready else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(expose_metrics(), content_type="text/plain; version=0.0.4; charset=utf-8")


def create_socketio(app: Flask, client_manager: Any, server_options: dict[str, Any]) -> SocketIO:
    """Wrap the app in Flask-SocketIO.

    Origins are checked by `HttpGuard` before anything gets here, so what arrives is answered with
    the CORS headers it needs.
    """
    return SocketIO(
        app,
        client_manager=client_manager,
        cors_allowed_origins=_already_admitted,
        **server_options,
    )


def admit(app: Flask, **rules: Any) -> None:
    """Put `HttpGuard` around everything the app answers, sockets included."""
    app.wsgi_app = HttpGuard(app.wsgi_app, **rules)  # type: ignore[method-assign]


def _already_admitted(_origin: str | None, _environ: dict[str, Any]) -> bool:
    return True


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, content_type="application/json")


def _page(body: bytes, content_type: str) -> Callable[[], Response]:
    def page() -> Response:
        return Response(body, content_type=content_type)

    return page


def _client(body: bytes) -> Callable[[], Response]:
    etag = hashlib.sha256(body).hexdigest()

    def client() -> Response:
        response = Response(body, content_type="text/javascript; charset=utf-8")
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["Cache-Control"] = "no-cache"  # ask each time: the node may be newer
        response.set_etag(etag)
        response.make_conditional(request)
        return response

    return client
