"""What a node answers before it is open: that it lives, that it is not ready, and why.

The listening socket opens when there is something to say: at once where Redis is waited for, else when all
is there. So from the first connection on there is an answer, and a load balancer sees a node that starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from service import errors
from service.api.problems import CONTENT_TYPE, RETRY_AFTER_S, TYPE_PREFIX

_UNAVAILABLE = "503 Service Unavailable"

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Entrance:
    """The WSGI application of a node from its first connection on.

    Args:
        start: starts the web server on an application; what it returns ends the accepting.
    """

    def __init__(self, node_id: str, start: Callable[[WsgiApp], Callable[[], None]]) -> None:
        self._node_id = node_id
        self._start = start
        self._stop: Callable[[], None] | None = None
        self._answer: WsgiApp = self._not_yet
        self._reason = ""

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        return self._answer(environ, start_response)

    def wait(self, reason: str) -> None:
        """Answer every request from now on that the node is not open yet."""
        self._reason = reason
        if self._stop is None:
            self._stop = self._start(self)

    def serve(self, app: WsgiApp) -> Callable[[], None]:
        """Serve the open node; what is returned stops accepting."""
        self._answer = app
        if self._stop is None:
            self._stop = self._start(self)
        return self._stop

    def _not_yet(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        status, content_type = _UNAVAILABLE, "application/json"
        body: dict[str, Any] = {"ready": False, "reason": self._reason, "node_id": self._node_id}
        if path == "/healthz":
            status, body = "200 OK", {"ok": True, "node_id": self._node_id}
        elif path != "/readyz":
            content_type, body = CONTENT_TYPE, _problem(self._reason)
        content = orjson.dumps(body)
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ]
        if status == _UNAVAILABLE:
            headers.append(("Retry-After", str(RETRY_AFTER_S["store_unavailable"])))
        start_response(status, headers)
        return [content]


def _problem(reason: str) -> dict[str, Any]:
    error = errors.StoreUnavailable(f"This node is starting, {reason}.").body()
    told = {"title": "Service Unavailable", "status": 503, "detail": error["message"]}
    return {"type": TYPE_PREFIX + error["code"], **told, **error}
