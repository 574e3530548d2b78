"""Helpers for responses: JSON with times as ISO 8601, ETags, 304."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, request

from service.api.compression import SUFFIX
from service.sessions.model import to_iso


def json_response(body: Any, status: int = 200, **headers: str) -> Response:
    """Answer `body` as JSON; header names are given with `_` instead of `-`."""
    response = Response(orjson.dumps(body), status, content_type="application/json")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def no_content() -> Response:
    """Answer 204."""
    response = Response(status=204)
    response.headers.pop("Content-Type", None)
    return response


def not_modified(tag: str) -> Response | None:
    """Answer 304 when If-None-Match has the tag, of the answer as it is or compressed; else None."""
    for known in (tag, tag + SUFFIX):
        if request.if_none_match.contains_weak(known):
            response = Response(status=304)
            response.headers.pop("Content-Type", None)
            response.headers.add("Vary", "Accept-Encoding")
            response.set_etag(known)
            return response
    return None


def iso_of_seconds(seconds: float | None) -> str | None:
    """Return a time as ISO 8601."""
    return None if seconds is None else to_iso(round(seconds * 1000))
