"""The dashboard: the files of service/web/dashboard, which `dashboard/build.py` builds, at /dashboard.

Its pages have addresses of their own (/dashboard/sessions/kiosk-7), and all of them are `index.html`. Files
below `assets` have a digest of their content in their name, so a browser never asks for one twice.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from flask import Flask, Response, abort, request

from service.api.negotiation import takes_gzip

FOLDER = Path(__file__).parents[1] / "web" / "dashboard"
ROOT = "/dashboard"
_INDEX = "index.html"
_ASSETS = "assets/"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
#: In addition to the policy of every page. Vue makes one policy of Trusted Types, named `vue`.
TRUSTED_TYPES = "require-trusted-types-for 'script'; trusted-types vue"


class File(NamedTuple):
    """A file as it is sent."""

    body: bytes
    packed: bytes  #: with gzip
    digest: str


def install(app: Flask, policy: Callable[[], str]) -> None:
    """Add the routes.

    Args:
        app: must not have answered a request yet.
        policy: the Content-Security-Policy of every page, at each request.
    """
    names = frozenset(
        path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.suffix in _TYPES
    )  # nothing else is ever opened, whatever a path says

    def dashboard(path: str = "") -> Response:
        if path in names and path != _INDEX:
            return _answer(path)
        if path.startswith(
            _ASSETS
        ):  # of another version: no page, which a script would stumble over
            abort(404, "This version of the dashboard has no such file.")
        return _index(f"{policy()}; {TRUSTED_TYPES}")

    app.add_url_rule(ROOT, "dashboard", dashboard)
    app.add_url_rule(f"{ROOT}/", "dashboard_fleet", dashboard)
    app.add_url_rule(f"{ROOT}/<path:path>", "dashboard_page", dashboard)


def _answer(name: str) -> Response:
    response = _sent(name, "")
    lasting = "public, max-age=31536000, immutable"
    response.headers["Cache-Control"] = lasting if name.startswith(_ASSETS) else "no-cache"
    response.make_conditional(request)
    return response


def _index(policy: str) -> Response:
    response = _sent(_INDEX, policy)  # a browser that keeps the page keeps its policy too
    response.headers["Content-Security-Policy"] = policy
    response.headers["Cache-Control"] = "no-cache"  # ask each time: the node may be newer
    response.make_conditional(request)
    return response


def _sent(name: str, also: str) -> Response:
    file = _file(name)
    is_packed = takes_gzip(request.headers.get("Accept-Encoding", ""))
    response = Response(
        file.packed if is_packed else file.body, content_type=_TYPES[Path(name).suffix]
    )
    response.headers["Vary"] = "Accept-Encoding"
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    tag = hashlib.sha256(f"{file.digest} {also}".encode()).hexdigest()[:32]
    response.set_etag(f"{tag}-gzip" if is_packed else tag)
    return response


@cache
def _file(name: str) -> File:
    """Read a file when it is first wanted; all of them are a megabyte."""
    body = (FOLDER / name).read_bytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed = packer.compress(body) + packer.flush()
    return File(body, packed, hashlib.sha256(body).hexdigest())
