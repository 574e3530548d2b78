"""Errors as RFC 9457 `application/problem+json`, in one place for every route and page.

The body is the error that sockets get (code, message, retryable and fields such as `retry_after_s`), plus
`type`, `title`, `status`, `detail` and `instance`.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from service import errors

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
#: Prefix of `type`; the code follows.
TYPE_PREFIX = "urn:muster:problem:"
#: `Retry-After` of retryable errors without `retry_after_s`, s.
RETRY_AFTER_S = {"store_unavailable": 2, "draining": 1}
#: Codes of errors that Flask and Werkzeug raise; the others are `invalid_request`.
_CODES = {401: "not_authenticated", 403: "not_allowed", 413: "too_large", 429: "rate_limited"}


def install(app: Flask, count: Callable[[str], None] = lambda code: None) -> None:
    """Answer every exception raised in a request with a problem.

    Args:
        app: the application.
        count: called with the code of each problem.
    """

    @app.errorhandler(errors.ServiceError)
    def service_error(error: errors.ServiceError) -> Response:
        count(error.code)
        return problem(error.status, error.body())

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        code = _CODES.get(status, "invalid_request" if status < 500 else "internal")
        count(code)
        body = {"code": code, "message": error.description or error.name, "retryable": False}
        response = problem(status, body)
        for name, value in error.get_headers():
            if name in ("Allow", "Retry-After"):
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def internal(error: Exception) -> Response:
        log_id = secrets.token_hex(6)
        log.error(
            "a request failed",
            exc_info=error,
            extra={
                "action": "request_failed",
                "log_id": log_id,
                "rule": str(request.url_rule),
                "throttle": str(request.url_rule),
            },
        )
        return service_error(errors.Internal(log_id=log_id))


def problem(status: int, body: dict[str, Any]) -> Response:
    """Return a response for an error body, with `Retry-After` if the error is retryable."""
    shown = {
        "type": TYPE_PREFIX + body["code"],
        "title": _title(status),
        "status": status,
        "detail": body["message"],
        "instance": quote(request.path, safe="/%~"),
        **body,
    }
    response = Response(orjson.dumps(shown), status, content_type=CONTENT_TYPE)
    wait_s = body.get("retry_after_s")
    if wait_s is None and body["retryable"]:
        wait_s = RETRY_AFTER_S.get(body["code"], 1)
    if wait_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    return response


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
