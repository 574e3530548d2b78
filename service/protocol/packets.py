"""The head of a Socket.IO packet (protocol 5), read without touching its JSON."""

from __future__ import annotations

from typing import NamedTuple

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = "0123456"

#: Digits of an ack number; all clients count from 0 or 1.
MAX_NUMBER_DIGITS = 16
#: Digits of the number of attachments; they are thrown away, one by one.
MAX_ATTACHMENT_DIGITS = 4


class Head(NamedTuple):
    """What stands before the JSON of a packet."""

    kind: str  #: one digit
    attachments: int
    namespace: str  #: "/" unless another is named
    number: int | None  #: the ack number
    body: str  #: the JSON, or ""


def read_head(text: str) -> Head | None:
    """The head of a packet `<kind>[<attachments>-][<namespace>,][<number>]<JSON>`; None for none."""
    kind = text[:1]
    if not kind or kind not in "0123456":
        return None
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
        return None  # an ack number of more digits; an answer to its first ones would reach nobody
    number = int(text[place:end]) if end > place else None
    return Head(kind, attachments, namespace, number, text[end:])


def _digits_end(text: str, place: int, most: int) -> int:
    """Where the ASCII digits that begin at `place` end, `most` of them at most."""
    end = place
    limit = min(len(text), place + most)
    while end < limit and "0" <= text[end] <= "9":
        end += 1
    return end
