"""The dashboard: the files of service/web/dashboard, which `dashboard/build.py` builds, at /dashboard.

Its pages have addresses of their own (/dashboard/sessions/kiosk-7), and all of them are `index.html`. Files
below `assets` have a digest of their content in their name, so a browser never asks for one twice.

All files are in memory from the start, less than a megabyte: a node serves the build that it started with, whole, also
while another one is put in its place.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from flask import Flask, Response, abort, request

from service.api.negotiation import takes_gzip

FOLDER = Path(__file__).parents[1] / "web" / "dashboard"
ROOT = "/dashboard"
#: Asked for by browsers on pages that name no icon, such as an answer of the API.
ICON_PATH, _ICON = "/favicon.ico", "muster.svg"
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


#: Where a page reads which other nodes its policy allows it: it cannot see the policy that it got.
_NODES = b'<meta name="muster-nodes" content="'


class File:
    """A file as it is sent."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self.content_type = content_type
        self.digest = hashlib.sha256(self.body).hexdigest()

    @cached_property
    def packed(self) -> bytes:
        """Return the body with gzip; it is packed when it is first wanted."""
        packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        return packer.compress(self.body) + packer.flush()


class Index:
    """The page, which says to which other nodes it may connect."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._made: tuple[str, File] = ("", file)

    def of(self, nodes: str) -> File:
        """Return it for these sources of `connect-src`."""
        if self._made[0] != nodes:
            body = self._file.body.replace(_NODES, _NODES + nodes.encode(), 1)
            self._made = (nodes, File(body, self._file.content_type))
        return self._made[1]


def install(
    app: Flask, policy: Callable[[str], str], nodes: Callable[[], str], folder: Path = FOLDER
) -> None:
    """Add the routes.

    Args:
        app: must not have answered a request yet.
        policy: returns the Content-Security-Policy of every page that may connect to these nodes.
        nodes: sources for `connect-src`, at each request.
        folder: of the build; nothing of it is opened later, whatever a path says.
    """
    files = {
        path.relative_to(folder).as_posix(): File(path.read_bytes(), _TYPES[path.suffix])
        for path in folder.rglob("*")
        if path.suffix in _TYPES
    }
    page = files.pop(_INDEX, None)
    index = None if page is None else Index(page)

    def dashboard(path: str = "") -> Response:
        if path in files:
            lasting = "public, max-age=31536000, immutable"
            return _sent(files[path], lasting if path.startswith(_ASSETS) else "no-cache")
        if path.startswith(_ASSETS):  # of another version: no page, on which a script would stumble
            abort(404, "This version of the dashboard has no such file.")
        if index is None:
            abort(404, "There is no dashboard here: it is built by `make dashboard`.")
        allowed = nodes()
        return _sent(index.of(allowed), "no-cache", f"{policy(allowed)}; {TRUSTED_TYPES}")

    def icon() -> Response:
        return _sent(files[_ICON], "no-cache") if _ICON in files else abort(404)

    app.add_url_rule(ROOT, "dashboard", dashboard)
    app.add_url_rule(f"{ROOT}/", "dashboard_fleet", dashboard)
    app.add_url_rule(f"{ROOT}/<path:path>", "dashboard_page", dashboard)
    app.add_url_rule(ICON_PATH, "icon", icon)


def _sent(file: File, lasts: str, policy: str = "") -> Response:
    """Return a file, as a browser may keep it: `no-cache` is to ask each time, the node may be newer."""
    is_packed = takes_gzip(request.headers.get("Accept-Encoding", ""))
    response = Response(file.packed if is_packed else file.body, content_type=file.content_type)
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = lasts
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    if policy:
        response.headers["Content-Security-Policy"] = policy
    # A browser that keeps a page keeps its policy too.
    tag = hashlib.sha256(f"{file.digest} {policy}".encode()).hexdigest()[:32]
    response.set_etag(f"{tag}-gzip" if is_packed else tag)
    response.make_conditional(request)
    return response
