"""Routing of messages between nodes: their form, their destination, and their order.

A message is a JSON object as python-socketio's pub/sub managers make it, with `method` one of
emit, disconnect, enter_room, leave_room, close_room, callback, and ours: notify (a topic of one
node) and echo (readiness). It travels in a stream entry with two fields: `n`, which is
`<publisher>:<number>`, and `d`, the JSON. A publisher's numbers grow in every stream, so a reader
knows what it has seen already (a publish is repeated when its reply was lost) and can put entries
of its two streams back into the order in which they were sent. This module knows neither Redis nor
Socket.IO.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

#: Publishers whose last number a reader remembers. Processes outside the nodes use one per message.
_PUBLISHERS = 20_000

#: A sid as nodes make them: the node's token, and 16 random bytes. No other room has this form
#: because room names contain a word and a colon (`session:<id>`).
_SID = re.compile(r"([a-z0-9]{10})\.[A-Za-z0-9_-]{22}")

_PUBLISHER = re.compile(rb"([A-Za-z0-9_-]{1,64}):([0-9]{1,18})")


def sid_token(room: object) -> str | None:
    """Return the token of the node that a sid belongs to; None for every other room, list or None."""
    match = _SID.fullmatch(room) if isinstance(room, str) else None
    return match[1] if match else None


def destination(message: Mapping[str, Any]) -> str | None:
    """Return the token of the one node (or outside caller) that a message concerns; None: all nodes."""
    method = message["method"]
    if method == "callback":
        return str(message["host_id"])
    return sid_token(message.get("room" if method == "emit" else "sid"))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_room(value: object) -> bool:
    return value is None or _is_text(value) or _is_texts(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_ack(value: object) -> bool:
    return value is None or (
        isinstance(value, list)
        and len(value) == 3
        and _is_text(value[0])
        and _is_text(value[1])
        and _is_number(value[2])
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_anything(_value: object) -> bool:
    return True


_FORMS: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "emit": {
        "event": _is_text,
        "data": _is_list,
        "namespace": _is_text,
        "room": _is_room,
        "skip_sid": _is_room,
        "callback": _is_ack,
        "host_id": _is_text,
    },
    "disconnect": {"sid": _is_text, "namespace": _is_text},
    "enter_room": {"sid": _is_text, "namespace": _is_text, "room": _is_text},
    "leave_room": {"sid": _is_text, "namespace": _is_text, "room": _is_text},
    "close_room": {"namespace": _is_text, "room": _is_text},
    "callback": {
        "host_id": _is_text,
        "sid": _is_text,
        "namespace": _is_text,
        "id": _is_number,
        "args": _is_list,
    },
    "notify": {"topic": _is_text, "data": _is_anything},
    "echo": {"number": _is_number},
}


def decode(body: bytes, loads: Callable[[str], Any]) -> dict[str, Any]:
    """Decode and check the message in a stream entry.

    Raises:
        ValueError: it is not JSON, or not a message of a form that is listed here.
    """
    try:
        message = loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    if not isinstance(message, dict):
        raise ValueError("not an object")
    method = message.get("method")
    form = _FORMS.get(method) if isinstance(method, str) else None
    if form is None:
        raise ValueError("unknown method")
    for name, is_right in form.items():
        if not is_right(message.get(name)):
            raise ValueError(f"{method}: wrong {name}")
    return message


class Entry(NamedTuple):
    """A well-formed stream entry."""

    ms: int  #: time part of its id, Redis time
    publisher: str
    number: int  #: grows per publisher and stream
    body: bytes


def parse_entry(entry_id: bytes, fields: object) -> Entry | None:
    """Parse a stream entry; None when it is not one of ours."""
    if not isinstance(fields, list) or len(fields) % 2:
        return None
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    body = named.get(b"d")
    match = _PUBLISHER.fullmatch(named.get(b"n", b""))
    if match is None or body is None:
        return None
    return Entry(int(entry_id.partition(b"-")[0]), match[1].decode(), int(match[2]), body)


def merge(one: list[Entry], other: list[Entry]) -> list[Entry]:
    """Merge the entries of two streams into the order in which they were sent.

    Within a stream the order stays. Between streams time decides, and within a millisecond the
    numbers of each publisher: `enter_room` in an inbox comes before a later broadcast to that room.
    """
    if not one or not other:
        return one or other
    merged: list[Entry] = []
    left, right = deque(one), deque(other)
    while left and right:
        if left[0].ms != right[0].ms:
            merged.append((left if left[0].ms < right[0].ms else right).popleft())
            continue
        ms = left[0].ms
        waiting: dict[str, deque[int]] = {}  # of the right stream in this millisecond
        for entry in right:
            if entry.ms != ms:
                break
            waiting.setdefault(entry.publisher, deque()).append(entry.number)
        while left and right and left[0].ms == ms == right[0].ms:
            numbers = waiting.get(left[0].publisher)
            if numbers and numbers[0] < left[0].number:
                entry = right.popleft()
                waiting[entry.publisher].popleft()
            else:
                entry = left.popleft()
            merged.append(entry)
    merged.extend(left)
    merged.extend(right)
    return merged


class Seen:
    """The entries of one stream that were read before, by the last number of each publisher."""

    def __init__(self, publishers: int = _PUBLISHERS) -> None:
        self._publishers = publishers
        self._last: OrderedDict[str, int] = OrderedDict()

    def is_new(self, entry: Entry) -> bool:
        """Return True the first time an entry is shown; it then counts as seen."""
        if entry.number <= self._last.get(entry.publisher, -1):
            return False
        self._last[entry.publisher] = entry.number
        self._last.move_to_end(entry.publisher)
        if len(self._last) > self._publishers:
            self._last.popitem(last=False)
        return True
