"""Requests of the REST API: one connection per thread, errors as exceptions."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from muster_client.errors import Conflict, NotConnected, Refused

Answer = tuple[int, Any, Mapping[str, str]]


def in_path(session_id: str) -> str:
    """Return an id as it stands in a path; `.` and `..` would be taken out of it on the way."""
    return ("%7F" if session_id in (".", "..") else "") + quote(session_id, safe="")


class Rest:
    """Makes requests.

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
        self._local = threading.local()

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
        target = self._base + path + ("?" + urlencode(given) if given else "")
        sent = dict(headers or {})
        token = self._token() if callable(self._token) else self._token
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            content = json.dumps(body, allow_nan=False).encode()
            sent.setdefault("Content-Type", "application/json")
        status, raw, found = self._exchange(method, target, content, sent, timeout_s)
        parsed = json.loads(raw) if "json" in found.get("content-type", "") and raw else raw
        if status >= 400:
            error = parsed if isinstance(parsed, dict) else {"message": f"status {status}"}
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
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        # A kept connection may have been closed meanwhile; a request that was not sent is sent anew.
        is_fresh = kept is None or kept.sock is None
        connection = self._open() if kept is None else kept
        self._local.connection = connection
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(timeout_s or self._timeout_s)
            connection.request(method, target, content, dict(headers))
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            closed = isinstance(error, (http.client.RemoteDisconnected, BrokenPipeError))
            if not is_fresh and closed and method in ("GET", "PUT", "DELETE"):
                return self._exchange(method, target, content, headers, timeout_s)
            raise NotConnected(
                f"{method} {target}: {str(error) or type(error).__name__}"
            ) from error
        return response.status, raw, {k.lower(): v for k, v in response.getheaders()}

    def _open(self) -> http.client.HTTPConnection:
        if self._is_tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, context=context)
        return http.client.HTTPConnection(self._host, self._port)


def _version(text: Any) -> int | None:
    try:
        return int(str(text).strip('"'))
    except ValueError:
        return None
