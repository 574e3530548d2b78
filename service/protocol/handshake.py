"""The opening handshake of a websocket (RFC 6455, section 4.2), without extensions and subprotocols."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = "13"


def refusal(environ: Mapping[str, Any]) -> str:
    """What is wrong with a request for a websocket, as WSGI has it; "" when nothing is."""
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
    """The response that opens the websocket, to a request that has no `refusal`."""
    key = environ["HTTP_SEC_WEBSOCKET_KEY"].strip().encode()
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest)
    )
