"""Refusals of requests for Engine.IO, before anything is changed for them, and the plain consent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import ceil
from typing import Any

import orjson

from service.errors import ServiceError
from service.protocol import handshake
from service.transport.upstream.incoming import Counter

log = logging.getLogger(__name__)

#: Of a query or header that is logged.
MAX_SHOWN = 200
#: The version of Engine.IO that is spoken here.
VERSION = "4"
OTHER_VERSION = handshake.Refusal(
    "Engine.IO 4 (EIO=4) is needed: clients of Socket.IO 3 and later speak it."
)
NO_TRANSPORT = handshake.Refusal("Say which transport: transport=polling or transport=websocket.")
NO_METHOD = handshake.Refusal("A connection begins with a GET.")
NO_JSONP = handshake.Refusal(
    "Polling by <script> (JSONP) is not served: any page could read what it answers."
)


def fault_of(
    environ: dict[str, Any], query: dict[str, list[str]]
) -> tuple[str, handshake.Refusal] | None:
    """Return what keeps a request from being one of Engine.IO 4: the reason that counts it, and words.

    Engine.IO of Python takes a request without a transport for one of polling; the reference does not.
    """
    method, is_first = environ["REQUEST_METHOD"], "sid" not in query
    if is_first and query.get("EIO") != [VERSION]:
        return "version", OTHER_VERSION
    if "transport" not in query:
        return "transport", NO_TRANSPORT
    if is_first and method not in ("GET", "OPTIONS"):
        return "method", NO_METHOD
    if "j" in query:
        return "jsonp", NO_JSONP
    if method == "GET" and query["transport"][0] == "websocket":
        fault = handshake.refusal(environ)
        return ("websocket", fault) if fault else None
    return None


def ok(answer: Callable[..., dict[str, Any]], *args: Any, **options: Any) -> dict[str, Any]:
    """Answer as `answer` of `engineio.Server` does, but a POST with `ok`, as the reference server."""
    said = answer(*args, **options)
    if said["response"] == b"OK":
        said["response"] = b"ok"
    return said


def refuse_request(
    eio: Any,
    refused: Counter,
    environ: dict[str, Any],
    start_response: Any,
    reason: str,
    refusal: handshake.Refusal,
) -> list[bytes]:
    """Answer, count and log a request of another protocol, or one that a proxy has changed.

    Args:
        eio: the `engineio.Server`.
        refused: counts it by the reason.
    """
    refused.add(reason)
    log.info(
        "request refused",
        extra={
            "action": "request_refused",
            "address": environ.get("REMOTE_ADDR", ""),
            "reason": reason,
            "why": refusal.words,
            "value": environ.get("QUERY_STRING", "")[:MAX_SHOWN],
            "client": environ.get("HTTP_USER_AGENT", "")[:MAX_SHOWN],
            "throttle": reason,
        },
    )
    answer = eio._bad_request(refusal.words)
    start_response(
        refusal.status, [*answer["headers"], *refusal.headers, *eio._cors_headers(environ)]
    )
    return [answer["response"]]


def refuse(
    eio: Any, environ: dict[str, Any], start_response: Any, status: str, error: ServiceError
) -> list[bytes]:
    """Answer a request with an error of the protocol."""
    body = orjson.dumps(error.body())
    start_response(
        status,
        [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            *(
                [("Retry-After", str(ceil(error.fields.get("retry_after_s", 1))))]
                if error.retryable
                else []
            ),
            *eio._cors_headers(environ),
        ],
    )
    return [body]
