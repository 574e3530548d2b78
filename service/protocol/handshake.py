"""The opening handshake of a websocket (RFC 6455, section 4), without extensions and subprotocols.

A server checks a request with `refusal` and opens the websocket with `answer`. A client sends `request` and
checks what comes back with `refusal_of_answer`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = "13"
#: The header that asks for another protocol, as WSGI has it.
UPGRADE = "HTTP_UPGRADE"
#: The key of the version of HTTP that was asked in, `HTTP/1.0` or `HTTP/1.1`; the SERVER_PROTOCOL of eventlet is
#: always the former.
HTTP_VERSION = "muster.http_version"


def proof(key: bytes) -> bytes:
    """Return what only a peer that speaks websocket makes of the key."""
    digest = hashlib.sha1(key.strip() + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)


# --- the server's side


class Refusal(NamedTuple):
    """What is wrong with a request for a websocket, and the answer to it."""

    words: str
    status: str = "400 Bad Request"
    headers: tuple[tuple[str, str], ...] = ()


def refusal(environ: Mapping[str, Any]) -> Refusal | None:
    """Return what is wrong with a request for a websocket, as WSGI has it; None when nothing is."""
    if environ.get(HTTP_VERSION) == "HTTP/1.0":
        return Refusal("There are no websockets over HTTP/1.0: a proxy on the way may speak it.")
    asked = environ.get(UPGRADE, "")
    if asked != "websocket" and asked.strip().lower() != "websocket":
        return Refusal("`Upgrade: websocket` is missing: a proxy on the way may have dropped it.")
    options = environ.get("HTTP_CONNECTION", "")
    if options != "Upgrade" and "upgrade" not in map(str.strip, options.lower().split(",")):
        return Refusal("`Connection: Upgrade` is missing: a proxy on the way may have dropped it.")
    version = environ.get("HTTP_SEC_WEBSOCKET_VERSION")
    if version is None:
        return Refusal("`Sec-WebSocket-Version: 13` is missing.")
    if version != VERSION and version.strip() != VERSION:
        return _OTHER_VERSION
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
    try:
        if len(binascii.a2b_base64(key.strip(), strict_mode=True)) == 16:
            return None
    except (binascii.Error, ValueError):
        pass
    return Refusal("The websocket's key should be 16 bytes in base64.")


#: RFC 6455, section 4.4: it says which version is spoken here.
_OTHER_VERSION = Refusal(
    "Websocket version 13 is needed.",
    "426 Upgrade Required",
    (("Sec-WebSocket-Version", VERSION), ("Upgrade", "websocket"), ("Connection", "Upgrade")),
)


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
