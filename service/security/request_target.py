"""Request targets in absolute form, `GET http://node/path`, made the usual `GET /path` (RFC 9112, section 3.2.2).

Every server has to accept them, and some clients and proxies send them. The host of the target counts, not the
Host header, so this is around everything that looks at either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

WsgiApp = Callable[..., Iterable[bytes]]

#: Where servers have the path as it was sent.
_RAW = ("RAW_PATH_INFO", "REQUEST_URI", "RAW_URI")


class OriginForm:
    """Middleware: what is in it gets paths that begin with a slash."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith("/"):
            _rewrite(environ)
        return self._app(environ, start_response)


def _rewrite(environ: dict[str, Any]) -> None:
    sent = next((environ[name] for name in _RAW if name in environ), environ.get("PATH_INFO", ""))
    scheme, separator, rest = sent.partition("?")[0].partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return
    authority, slash, path = rest.partition("/")
    path = f"/{path}" if slash else "/"
    environ["HTTP_HOST"] = authority
    environ["PATH_INFO"] = unquote(path, "latin-1")
    for name in _RAW:
        if name in environ:
            environ[name] = path
