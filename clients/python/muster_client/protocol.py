"""Packets of Engine.IO 4 and Socket.IO 5 as text, and the errors that the service answers with.

Nothing here does I/O. Binary packets and other namespaces than `/` are not part of Muster's protocol.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

#: First characters of a text: what it is.
OPEN, CLOSE, PING, PONG = "0", "1", "2", "3"
CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = "40", "41", "42", "43", "44"
_KINDS = (CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR)


class Packet(NamedTuple):
    """A packet.

    Attributes:
        kind: One of the constants of this module.
        number: Of an event that asks for an ack, and of its ack.
        payload: What follows, parsed; None: nothing.
    """

    kind: str
    number: int | None
    payload: Any


def parse(text: str) -> Packet | None:
    """Parse a packet.

    Returns:
        None for what this version does not know: it is to be ignored.

    Raises:
        ValueError: It is not JSON where JSON has to be.
    """
    kind = text[:2] if text[:2] in _KINDS else text[:1]
    if kind not in (OPEN, CLOSE, PING, PONG, *_KINDS):
        return None
    rest = text[len(kind) :]
    if rest.startswith("/"):
        return None
    digits = len(rest) - len(rest.lstrip("0123456789"))
    number = int(rest[:digits]) if digits and kind in (EVENT, ACK) else None
    body = rest[digits:] if number is not None else rest
    if kind in (PING, PONG):
        return Packet(kind, None, None)
    return Packet(kind, number, loads(body) if body else None)


def loads(text: str | bytes) -> Any:
    """Parse JSON of any depth that is no harm.

    Raises:
        ValueError: It is not JSON, or too deep.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is too deep") from error


def dumps(value: Any) -> str:
    """Return strict JSON.

    Raises:
        TypeError: A value is of a type that JSON does not have.
        ValueError: NaN, an infinity, or a circle.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def connect(auth: Mapping[str, Any] | None) -> str:
    """Return the packet that connects to the namespace `/`."""
    return CONNECT + (dumps(auth) if auth is not None else "")


def event(name: str, payload: Any, number: int | None = None) -> str:
    """Return the packet of an event."""
    return f"{EVENT}{'' if number is None else number}{dumps([name, payload])}"


def ack(number: int, answer: Any) -> str:
    """Return the packet that answers an event; None: with nothing."""
    return f"{ACK}{number}{'[]' if answer is None else dumps([answer])}"
