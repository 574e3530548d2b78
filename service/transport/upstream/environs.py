"""The environs of a node's connections: python-socketio keeps one for each, ours are slim."""

from __future__ import annotations

from typing import Any

#: Different values that are kept once for all connections.
SHARED_VALUES = 4096
SHARED_LENGTH = 200
AUTHORIZATION = "HTTP_AUTHORIZATION"
#: The keys of a request's environ that are kept for its connection.
KEPT = frozenset(
    {
        *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME"),
        *("SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "wsgi.url_scheme", "flask.app"),
        *("HTTP_HOST", "HTTP_ORIGIN", "HTTP_USER_AGENT"),
    }
)


class Environs:
    """Makes slim copies that share their values: most clients send the same headers."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def slim(self, environ: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept of a request's environ."""
        known = self._values
        kept = {}
        for name in KEPT:
            if name in environ:
                value = environ[name]
                if value.__class__ is str:  # nearly always, and known
                    kept[name] = known[value] if value in known else self._shared(value)
                else:
                    kept[name] = value
        if AUTHORIZATION in environ:  # until the connect, and never shared
            kept[AUTHORIZATION] = environ[AUTHORIZATION]
        return kept

    def _shared(self, value: str) -> str:
        known = self._values
        if len(value) > SHARED_LENGTH:
            return value
        if len(known) >= SHARED_VALUES:
            return known.get(value, value)
        return known.setdefault(value, value)
