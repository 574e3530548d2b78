"""The opening handshake of a websocket (RFC 6455, section 4), without extensions and subprotocols.

A server checks a request with `refusal` and opens the websocket with `answer`. A client sends `request` and
checks what comes back with `refusal_of_answer`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = "13"
#: The header that asks for another protocol, as WSGI has it.
UPGRADE = "HTTP_UPGRADE"


def proof(key: bytes) -> bytes:
    """Return what only a peer that speaks websocket makes of the key."""
    digest = hashlib.sha1(key.strip() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


# --- the server's side


def refusal(environ: Mapping[str, Any]) -> str:
    """Return what is wrong with a request for a websocket, as WSGI has it; "" when nothing is."""
    if environ.get(UPGRADE, "").strip().lower() != "websocket":
        return "`Upgrade: websocket` is missing: a proxy on the way may have dropped it."
    options = environ.get("HTTP_CONNECTION", "").lower().split(",")
    if "upgrade" not in (option.strip() for option in options):
        return "`Connection: Upgrade` is missing: a proxy on the way may have dropped it."
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != VERSION:
        return "Websocket version 13 is needed."
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
    try:
        if len(base64.b64decode(key.strip(), validate=True)) == 16:
            return ""
    except (binascii.Error, ValueError):
        pass
    return "The websocket's key should be 16 bytes in base64."


def answer(environ: Mapping[str, Any]) -> bytes:
    """Return the response that opens the websocket, to a request that has no `refusal`."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % proof(environ["HTTP_SEC_WEBSOCKET_KEY"].encode())
    )


# --- the client's side


def key_of(noise: bytes) -> bytes:
    """Return the key of a request, from 16 random bytes."""
    return base64.b64encode(noise)


def request(target: str, host: str, key: bytes) -> bytes:
    """Return the request for a websocket.

    Args:
        target: path and query.
        host: for the Host header.
        key: of `key_of`.
    """
    return (
        b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n"
        % (target.encode(), host.encode(), key)
    )


def refusal_of_answer(head: bytes, key: bytes) -> str:
    """Return what is wrong with the answer to a `request`, up to its empty line; "" when it opens the websocket."""
    status, *lines = head.split(b"\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    if b" 101 " not in status + b" " or headers.get(b"sec-websocket-accept") != proof(key):
        return f"no websocket: {status.decode('latin-1', 'replace')}"
    return ""
