"""The descriptions at /api/v1/openapi.json and asyncapi.json, and Swagger UI at /api/docs.

Swagger UI comes from the PyPI package flask-openapi3-swagger and is served by the node, so that it works
without the internet. Only the package's static files are used: its page has inline scripts, which our CSP
forbids.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, Response

from service.api.openapi import DOCUMENT, PREFIX

EVENTS = PREFIX + "/asyncapi.json"
DOCS = "/api/docs"
_OURS = Path(__file__).parent / "docs"
_SWAGGER = "flask_openapi3_swagger"
#: Path below /api/docs → file of the package, content type. A fixed list, never a path of a request.
_ASSETS = {
    "swagger-ui.css": ("css/swagger-ui.css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": ("js/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "swagger.svg": ("images/swagger.svg", "image/svg+xml"),
}
#: The files change only with the package.
_CACHE = "public, max-age=3600"


def install(app: Flask, document: dict[str, Any], events: dict[str, Any]) -> None:
    """Add the documents and the page.

    Args:
        app: must not have answered a request yet.
        document: the OpenAPI document of the routes.
        events: the AsyncAPI document of the Socket.IO events.
    """
    for path, shown in ((DOCUMENT, document), (EVENTS, events)):
        text = orjson.dumps(shown)
        app.add_url_rule(path, path, _page(partial(bytes, text), "application/json"))
    index = (_OURS / "index.html").read_bytes()
    for rule in (DOCS, DOCS + "/"):
        app.add_url_rule(rule, rule, _page(lambda: index, "text/html; charset=utf-8"))
    script = (_OURS / "docs.js").read_bytes()
    kind = "text/javascript; charset=utf-8"
    app.add_url_rule(f"{DOCS}/docs.js", "api_docs_script", _page(lambda: script, kind))
    folder = resources.files(_SWAGGER) / "templates" / "swagger"
    for name, (file, content_type) in _ASSETS.items():
        read = _Later(folder.joinpath(*file.split("/")))
        app.add_url_rule(f"{DOCS}/{name}", f"api_docs {name}", _page(read, content_type, _CACHE))


class _Later:
    """A file that is read at each request: keeping the files in memory would cost every node 2 MB."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __call__(self) -> bytes:
        content: bytes = self._file.read_bytes()
        return content


def _page(read: Callable[[], bytes], content_type: str, cache: str = "") -> Callable[[], Response]:
    def page() -> Response:
        response = Response(read(), content_type=content_type)
        if cache:
            response.headers["Cache-Control"] = cache
        return response

    return page
