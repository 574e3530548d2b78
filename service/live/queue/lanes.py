"""Lanes: the names of the messages that scripts send.

A script that a node runs sends the message about what it has done by itself, where it may (lua/shared/commands.lua).
So the message is there when the data is, costs no round trip, and is only sent if the script has done it.

Such scripts run over several connections at one time, so a larger number may come first, and readers drop numbers that
are not larger than the last one. So each call has a lane, a publisher of its own that no other call has before this one
is answered. A lane whose answer never came is not used again: its script may still run, after later ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service import errors
from service.live.queue.streams import QueueCounters
from service.sessions.store.keys import Keys


class Lanes:
    """The lanes of one node.

    Args:
        token: the node's; unique to this process and its start.
        cap: entries that a stream keeps, about.
        counters: where it is counted.
    """

    def __init__(self, keys: Keys, token: str, *, cap: int, counters: QueueCounters) -> None:
        self._keys = keys
        self._token = token
        self._cap = cap
        self._counters = counters
        self._idle: list[tuple[int, int]] = []  # lanes, each with its last number
        self._made = 0

    @contextmanager
    def lend(self) -> Iterator[list[Any]]:
        """Lend a lane for one call, as the arguments of a script that may send one message.

        A call that is repeated has the same number each time: what was sent twice is acted on once.
        """
        try:
            lane, number = self._idle.pop()
        except IndexError:
            lane, number = self._made, 0
            self._made += 1
        number += 1
        try:
            yield [self._keys.inbox(""), self._token, f"{self._token}-{lane}:{number}", self._cap]
        except errors.StoreUnavailable:
            raise
        except errors.ServiceError:
            self._idle.append((lane, number))
            raise
        self._idle.append((lane, number))

    def note_sent(self) -> None:
        """Count a message that a script has sent."""
        self._counters.sent += 1
