"""The backlog of one client: the queue behind each Engine.IO socket, counted and bounded.

Engine.IO's own queue has no bound, so a client that does not read makes the process grow until it dies.
This one counts bytes. Above its bound it drops everything and calls `on_overflow`, once. The writer gets at
most `BURST_BYTES` (or one packet) at a time, and that burst counts as waiting until the writer comes back
for more, because a burst that a blocked socket does not take has not left this process either. Pings go to
the front: a client must answer them in time also when much waits before it.

The interface is the part of `queue.Queue` that python-engineio 4.15 uses (`put`, `get`, `task_done`,
`join`). `None` marks the end and stays in the queue: every later `get` returns it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

#: How much the writer may hold.
BURST_BYTES = 64 * 1024
#: What a packet costs in addition to its text.
PACKET_BYTES = 64


class Wake(Protocol):
    """An event of the async mode in use."""

    def set(self) -> object: ...
    def clear(self) -> object: ...
    def wait(self, timeout: float | None = None) -> object: ...


class Backlog:
    """Packets for one client.

    Args:
        max_bytes: bound on all that waits.
        wake: makes what wakes the writer; a connection without one needs none.
        empty: exception class for "nothing there".
        is_urgent: whether a packet goes to the front.
        size_of: bytes of a packet.
    """

    __slots__ = (
        "_asleep",
        "_burst",
        "_empty",
        "_is_urgent",
        "_make_wake",
        "_packets",
        "_size_of",
        "_taken",
        "_wake",
        "end_code",
        "finished",
        "max_bytes",
        "on_overflow",
        "waiting_bytes",
    )

    def __init__(
        self,
        max_bytes: int,
        wake: Callable[[], Wake],
        empty: type[Exception],
        is_urgent: Callable[[Any], bool],
        size_of: Callable[[Any], int],
    ) -> None:
        self.max_bytes = max_bytes
        self.on_overflow: Callable[[], None] | None = None
        #: Bytes not yet taken by the client, the writer's burst included.
        self.waiting_bytes = 0
        #: Nothing is accepted any more.
        self.finished = False
        #: Of the close frame at the end.
        self.end_code = 1000
        self._make_wake = wake
        self._wake: Wake | None = None
        self._asleep = False
        self._empty = empty
        self._is_urgent = is_urgent
        self._size_of = size_of
        self._packets: deque[tuple[Any, int]] = deque()
        self._taken = 0  # bytes the writer holds
        self._burst = 0  # bytes it got since it last came back

    @property
    def is_at_end(self) -> bool:
        """Nothing waits any more, nor will."""
        return bool(self._packets) and self._packets[0][0] is None

    def put(self, packet: Any) -> None:
        """Append a packet, or None for the end; never blocks. Nothing is accepted after `finish`."""
        if packet is None:
            if not self._packets or self._packets[-1][0] is not None:
                self._packets.append((None, 0))
            self.rouse()
            return
        if self.finished:
            return
        size = self._size_of(packet) + PACKET_BYTES
        if self.waiting_bytes + size > self.max_bytes and self.waiting_bytes > self._taken:
            self.finished = True
            self._drop()
            if self.on_overflow is not None:
                self.on_overflow()
            return
        self.waiting_bytes += size
        if self._is_urgent(packet):
            self._packets.appendleft((packet, size))
        else:
            self._packets.append((packet, size))
        self.rouse()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next packet, None for the end.

        Raises:
            the class given as `empty`: nothing within `timeout`, or for `block=False`, nothing there or
                the burst is full.
        """
        if not block:
            if not self._packets or self._burst >= BURST_BYTES:
                raise self._empty
            return self._take()
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self.wait(lambda: deadline is not None and time.monotonic() >= deadline, timeout):
            raise self._empty
        return self._take()

    def wait(self, is_over: Callable[[], bool], look_s: float | None = None) -> bool:
        """Wait for a packet, or the end, and leave it there; False when it is over before.

        Args:
            is_over: asked after every `rouse`, and every `look_s` seconds.
        """
        self.waiting_bytes -= self._taken
        self._taken = self._burst = 0
        while not self._packets:
            if is_over():
                return False
            self._asleep = True
            if self._wake is None:
                self._wake = self._make_wake()
            self._wake.clear()
            self._wake.wait(look_s)
        return True

    def rouse(self) -> None:
        """Let those who wait look again."""
        if self._asleep and self._wake is not None:
            self._asleep = False
            self._wake.set()

    def finish(self, last: Iterable[Any], *, drop: bool, code: int = 1000) -> None:
        """Accept nothing any more; send these packets and end.

        Args:
            last: packets to send before the end.
            drop: forget what still waits before them.
            code: of the close frame that a websocket sends then.
        """
        if drop:
            self._drop()
        self.finished = True
        if self._packets and self._packets[-1][0] is None:
            return  # it has ended already
        self.end_code = code
        for packet in last:
            size = self._size_of(packet) + PACKET_BYTES
            self.waiting_bytes += size
            self._packets.append((packet, size))
        self.put(None)

    def drain(self) -> tuple[list[Any], bool]:
        """Take everything that waits, and whether the end was in it. A later `get` returns the end."""
        waiting = [packet for packet, _ in self._packets if packet is not None]
        is_over = self.finished or len(waiting) < len(self._packets)
        self._drop()
        self.finished = True
        self.put(None)
        return waiting, is_over

    def task_done(self) -> None:
        """Part of the interface; nothing waits for it."""

    def join(self) -> None:
        """Return at once: a client that does not read must not delay the one who closes it."""

    def _take(self) -> Any:
        packet, size = self._packets[0]
        if packet is None:
            return None
        self._packets.popleft()
        self._taken += size
        self._burst += size
        return packet

    def _drop(self) -> None:
        self._packets.clear()
        self.waiting_bytes = self._taken
