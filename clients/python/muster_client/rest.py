"""Requests of the REST API: connections are kept, errors are exceptions."""

from __future__ import annotations

import http.client
import json
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from muster_client import protocol
from muster_client.errors import Conflict, NotConnected, Refused
from muster_client.forks import Home

Answer = tuple[int, Any, Mapping[str, str]]

#: What stands in front of the service answers so while it is away, or did not answer in time.
_GATEWAY = (502, 503, 504)


def in_path(session_id: str) -> str:
    """Return an id as it stands in a path; `.` and `..` would be taken out of it on the way."""
    needs_more = session_id in (".", "..") or session_id.startswith("\x7f")
    return ("%7F" if needs_more else "") + quote(session_id, safe="")


class Rest:
    """Makes requests, from any thread; `close` it in the end.

    Args:
        url: Of a node or balancer.
        token: Shown to the service, or a function that gives it.
        timeout_s: Of a request that does not wait for something.
    """

    def __init__(
        self, url: str, token: str | Callable[[], str] | None = None, timeout_s: float = 30.0
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address such as http://127.0.0.1:5000")
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port or (443 if self._is_tls else 80)
        self._base = parts.path.rstrip("/") + "/api/v1"
        self._token = token
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._is_closed = False
        self._home = Home()

    def close(self) -> None:
        """Close the connections; a request that is under way closes its own at its end."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Return status, parsed body and headers (names in small letters).

        Args:
            path: Below `/api/v1`.
            query: None values are left out.

        Raises:
            Refused: The service answered with an error; `Conflict` where a version did not fit.
            NotConnected: There was no whole answer; whether it took effect is not known.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = self._base + path + ("?" + urlencode(given, doseq=True) if given else "")
        sent = dict(headers or {})
        token = self._token() if callable(self._token) else self._token
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            content = json.dumps(body, allow_nan=False).encode()
            sent.setdefault("Content-Type", "application/json")
        status, raw, found = self._exchange(method, target, content, sent, timeout_s)
        parsed: Any = raw
        try:
            if raw and "json" in found.get("content-type", ""):
                parsed = protocol.loads(raw)
        except ValueError as cut:
            if status < 400:
                raise NotConnected(f"{method} {target}: what came is no JSON") from cut
        if status >= 400:
            error = parsed if isinstance(parsed, dict) else {"message": f"status {status}"}
            if "code" not in error and status in _GATEWAY:  # the service may have done it
                raise NotConnected(f"{method} {target}: status {status}, and not from the service")
            if error.get("code") == "precondition_failed":
                raise Conflict(error, _version(found.get("etag") or error.get("setup_version")))
            raise Refused(error)
        return status, parsed, found

    def _exchange(
        self,
        method: str,
        target: str,
        content: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float | None,
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = self._take()
        try:
            connection.timeout = timeout_s or self._timeout_s
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(connection.timeout)
            connection.request(method, target, content, dict(headers))
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            words = f"{method} {target}: {str(error) or type(error).__name__}"
            raise NotConnected(words) from error
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return response.status, raw, {k.lower(): v for k, v in response.getheaders()}

    def _take(self) -> http.client.HTTPConnection:
        """Return a kept connection that the service has not closed meanwhile, or a new one."""
        if not self._home.is_here:
            self._leave_behind()
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                break
            # Where something can be read, and nothing was asked, it is the end of the connection.
            if kept.sock is not None and not _is_readable(kept.sock):
                return kept
            kept.close()
        if self._is_tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, context=context)
        return http.client.HTTPConnection(self._host, self._port)

    def _leave_behind(self) -> None:
        """Close, here, what is of the process before a fork: both would read each other's answers."""
        before = self._idle
        self._home, self._lock, self._idle = Home(), threading.Lock(), []
        for connection in before:
            connection.close()

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()


def _is_readable(opened: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(opened, selectors.EVENT_READ)
        return bool(selector.select(0))


def _version(text: Any) -> int | None:
    try:
        return int(str(text).strip('"'))
    except ValueError:
        return None
