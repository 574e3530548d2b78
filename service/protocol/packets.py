"""Packets of Engine.IO (protocol 4) and, in its messages, of Socket.IO (protocol 5): their heads, both ways.

JSON goes in and comes out as it is: nothing here reads or writes it.
"""

from __future__ import annotations

import functools
from collections.abc import Container
from typing import NamedTuple

#: Of Engine.IO, the first digit of a packet; behind `MESSAGE` stands a packet of Socket.IO.
OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "0123456"
#: Between the packets of one long-polling request.
SEPARATOR = "\x1e"
#: Of Socket.IO.
CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = "0123456"

#: Ack numbers that a node gives out: below 2^31, because many clients keep them in an `int`. Two parts of it count
#: for one socket, so each has numbers of its own: the dispatcher …
REQUEST_NUMBERS = range(1, 1 << 30)
#: … and python-socketio, for `emit` with a callback.
CALLBACK_NUMBERS = range(1 << 30, 1 << 31)

#: Digits of an ack number; all clients count from 0 or 1.
MAX_NUMBER_DIGITS = 16
#: Digits of the number of attachments; attachments are discarded, one by one.
MAX_ATTACHMENT_DIGITS = 4


class Head(NamedTuple):
    """What precedes the JSON of a packet."""

    kind: str  #: one digit
    attachments: int
    namespace: str  #: "/" unless another is named
    number: int | None  #: the ack number
    body: str  #: the JSON, or ""


#: Makes a `Head` of its fields, without the function that a named tuple has for that.
_head = functools.partial(tuple.__new__, Head)


def read_head(text: str) -> Head | None:
    """Parse a packet `<kind>[<attachments>-][<namespace>,][<number>]<JSON>`; None for anything else."""
    kind = text[:1]
    if not kind or kind not in "0123456":
        return None
    if (
        kind in "23"
    ):  # an event or its answer in namespace `/`, nearly always: no need to look at each digit
        place = text.find("[", 1, 2 + MAX_NUMBER_DIGITS)
        digits = text[1:place]
        if place == 1:
            return _head((kind, 0, "/", None, text[1:]))
        if place > 1 and digits.isdecimal() and digits.isascii():
            return _head((kind, 0, "/", int(digits), text[place:]))
    place = 1
    attachments = 0
    if kind in (BINARY_EVENT, BINARY_ACK):
        end = _digits_end(text, place, MAX_ATTACHMENT_DIGITS)
        if end == place or text[end : end + 1] != "-":
            return None
        attachments = int(text[place:end])
        place = end + 1
    namespace = "/"
    if text[place : place + 1] == "/":
        comma = text.find(",", place)
        end = len(text) if comma < 0 else comma
        namespace = text[place:end].partition("?")[0]
        place = end + 1
    end = _digits_end(text, place, MAX_NUMBER_DIGITS)
    if "0" <= text[end : end + 1] <= "9":
        return None  # the ack number has more digits; an answer to its first ones would match none
    number = int(text[place:end]) if end > place else None
    return _head((kind, attachments, namespace, number, text[end:]))


def free_number(wanted: int, numbers: range, taken: Container[int]) -> int:
    """Return the first number from `wanted` on that is not taken; the first follows the last."""
    number = wanted if wanted in numbers else numbers[0]
    while number in taken:
        number = number + 1 if number < numbers[-1] else numbers[0]
    return number


def _digits_end(text: str, place: int, most: int) -> int:
    """Return where the ASCII digits that begin at `place` end, `most` of them at most."""
    end = place
    limit = min(len(text), place + most)
    while end < limit and "0" <= text[end] <= "9":
        end += 1
    return end


def message(packet: bytes) -> bytes:
    """Return the Engine.IO packet that carries a Socket.IO packet."""
    return b"4" + packet


def connect(auth_json: bytes = b"") -> bytes:
    """Return the packet of a client that connects to namespace `/`."""
    return b"0" + auth_json


def event(body: bytes, number: int | None = None) -> bytes:
    """Return the packet of an event, in namespace `/`.

    Args:
        body: JSON array of its name and its arguments.
        number: under which the receiver is to acknowledge it.
    """
    return b"2" + body if number is None else b"2%d%b" % (number, body)


def ack(number: int, body: bytes) -> bytes:
    """Return the packet that answers event `number`; its body is a JSON array."""
    return b"3%d%b" % (number, body)


def acks(argument: bytes, answers: list[tuple[int, int]]) -> list[bytes]:
    """Return what `ack` makes of several answers, of one argument, that differ in one value each.

    Args:
        argument: JSON with `%d` in the place of the value.
        answers: (number, value) each.
    """
    packet = b"3%%d[%b]" % argument
    return [packet % answer for answer in answers]
