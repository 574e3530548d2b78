"""Callbacks of acknowledgements, forgotten when the acknowledgement does not come in time.

python-socketio numbers them per sid and removes them when a socket of its own process disconnects;
those of sockets elsewhere stay for ever when no answer comes. Here each has a deadline, and all sockets share
one count, so that a number comes again only after a billion others: no late answer meets a later callback.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from service.protocol.packets import CALLBACK_NUMBERS, free_number


class PendingAcks:
    """Callbacks by sid (or room) and number.

    Args:
        ttl_s: how long an acknowledgement may take.
    """

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._next = CALLBACK_NUMBERS[0]
        self._deadlines: OrderedDict[int, tuple[float, str]] = OrderedDict()
        #: sid → number → callback; a sid may be removed from outside.
        self.by_sid: dict[str, dict[int, Callable[..., object]]] = {}

    def add(self, sid: str, callback: Callable[..., object]) -> int:
        """Store a callback; return the number under which its acknowledgement will come."""
        number = free_number(self._next, CALLBACK_NUMBERS, self._deadlines)
        self._next = number + 1
        self.by_sid.setdefault(sid, {})[number] = callback
        self._deadlines[number] = (time.monotonic() + self._ttl_s, sid)
        return number

    def take(self, sid: str, number: int) -> Callable[..., object] | None:
        """Take out the callback; None for one that is unknown or was forgotten."""
        of_sid = self.by_sid.get(sid)
        callback = of_sid.pop(number, None) if of_sid else None
        if callback is not None:
            self._deadlines.pop(number, None)
        if of_sid is not None and not of_sid:
            del self.by_sid[sid]
        return callback

    def forget_late(self) -> None:
        """Drop callbacks past their deadline. Cost: one step, and one for each that is dropped."""
        now = time.monotonic()
        while self._deadlines:
            number, (deadline, sid) = next(iter(self._deadlines.items()))
            if deadline > now:
                return
            del self._deadlines[number]
            self.take(sid, number)
