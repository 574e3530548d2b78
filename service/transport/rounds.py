"""Rounds: the devices of a busy node are read together, not whenever one of them has sent something.

Four thousand updates a second wake a loop more than a thousand times for a few updates each, which then wait
for the next flush anyway. Waking costs more than reading. So while the node is busy its devices are read just
before each flush, and in between what they send waits in the kernel, where it costs nothing and is as safe as
before: nothing of it has been acked. A round that takes as long as the pause between two is followed by the
next at once, so a node with much to read never idles.

Calm nodes read at once, and so do all nodes what is not from a registered device.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from select import EPOLLIN
from typing import Any

from service.transport.hub import Hub, Ready

log = logging.getLogger(__name__)

#: How long after the beginning of a round the next one begins, at the latest: longer than a flush is waited for.
LONGEST_S = 0.015
#: Sockets in a round.
MOST = 1023


class Rounds:
    """Watches descriptors as a `Hub` does, and leaves them alone for a while after each round in a busy node.

    Args:
        poll: an epoll of its own.
        is_busy: asked after each round.
    """

    def __init__(self, hub: Hub, poll: Any, is_busy: Callable[[], bool]) -> None:
        self._hub = hub
        self._is_busy = is_busy
        self._poll = poll
        self._ready: dict[int, Ready] = {}
        self._watch: Any = None
        self._rest: object | None = None  # this one's end is waited for
        #: To be set by who knows that more is to be read of it: then there is no rest after this round.
        self.has_more = False

    def on_readable(self, fd: int, ready: Ready) -> int:
        """Call `ready` in each round in which there is something to read, until `forget`."""
        self._poll.register(fd, EPOLLIN)
        self._ready[fd] = ready
        if self._watch is None and self._rest is None:
            self._watch = self._hub.on_readable(self._poll.fileno(), self._turn)
        return fd

    def forget(self, fd: int) -> None:
        """End a watch. Call it before its descriptor is closed."""
        if self._ready.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def read(self) -> None:
        """Read now what waits, if this is a rest."""
        if self._rest is not None:
            self._turn()

    def close(self) -> None:
        """Watch nothing any more."""
        self._rest = None
        if self._watch is not None:
            self._hub.forget(self._watch)
            self._watch = None
        self._ready.clear()
        self._poll.close()

    def _turn(self, *_: object) -> None:
        began = time.monotonic()
        found = self._poll.poll(0, MOST)
        self.has_more = len(found) == MOST
        for fd, _event in found:
            ready = self._ready.get(fd)
            if ready is None:
                continue  # one that was read before it has ended this one
            try:
                ready()
            except Exception as error:
                # Of this one: the others have something to read too. It would fail in each round; so it is left to
                # its next ping, which it does not answer.
                self.forget(fd)
                about = {"action": "read_failed", "throttle": type(error).__name__}
                log.exception("a socket was not read", extra=about)
        rest_s = began + LONGEST_S - time.monotonic()
        if found and not self.has_more and rest_s > 0 and self._is_busy():
            self._begin_rest(rest_s)
        else:
            self._end_rest()

    def _begin_rest(self, seconds: float) -> None:
        if self._watch is not None:
            self._hub.forget(self._watch)
            self._watch = None
        rest = self._rest = object()

        def over() -> None:
            if self._rest is rest:
                self._turn()

        self._hub.later(seconds, over)

    def _end_rest(self) -> None:
        self._rest = None
        if self._watch is None:
            self._watch = self._hub.on_readable(self._poll.fileno(), self._turn)
