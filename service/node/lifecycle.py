"""What a node answers before it is open and after it has closed: that it lives, that it is not ready, and why.

The listening socket opens when there is something to say: at once where Redis is waited for, else when all
is there. So from the first connection on there is an answer, and a load balancer sees a node that starts.

A node that is going away ends each connection with its next answer, so that the client, or the load balancer
in front of it, opens the next one elsewhere and sends nothing into a connection that is about to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from service import errors
from service.api.problems import CONTENT_TYPE, RETRY_AFTER_S, TYPE_PREFIX
from service.transport.http.guard import ON_EVERY_ANSWER

_UNAVAILABLE = "503 Service Unavailable"
_CLOSE = ("Connection", "close")

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LifecycleApp:
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
        self._is_leaving = False

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if not status.startswith("101"):
                given = {name.lower() for name, _ in headers}
                added = (*ON_EVERY_ANSWER, _CLOSE) if self._is_leaving else ON_EVERY_ANSWER
                headers = [*headers, *(one for one in added if one[0].lower() not in given)]
            return start_response(status, headers, *more)

        return self._answer(environ, start)

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

    def leave(self) -> None:
        """End each connection with its next answer."""
        self._is_leaving = True

    def close(self) -> None:
        """Answer every request from now on that the node is gone."""
        self._reason = "stopping"
        self._answer = self._gone

    def _not_yet(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        error = errors.StoreUnavailable(f"This node is starting, {self._reason}.")
        return self._refuse(environ, start_response, error)

    def _gone(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return self._refuse(environ, start_response, errors.Draining())

    def _refuse(
        self,
        environ: dict[str, Any],
        start_response: Callable[..., Any],
        error: errors.ServiceError,
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        status, content_type = _UNAVAILABLE, "application/json"
        body: dict[str, Any] = {"ready": False, "reason": self._reason, "node_id": self._node_id}
        if path == "/healthz":
            status, body = "200 OK", {"ok": True, "node_id": self._node_id}
        elif path != "/readyz":
            content_type, body = CONTENT_TYPE, _problem(error.body())
        content = orjson.dumps(body)
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
            _CLOSE,
        ]
        if status == _UNAVAILABLE:
            headers.append(("Retry-After", str(RETRY_AFTER_S[error.code])))
        start_response(status, headers)
        return [content]


def _problem(error: dict[str, Any]) -> dict[str, Any]:
    about = {"title": "Service Unavailable", "status": 503, "detail": error["message"]}
    return {"type": TYPE_PREFIX + error["code"], **about, **error}
