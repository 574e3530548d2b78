"""Inboxes: what sockets have sent that waits, and the order in which it takes effect.

Handlers of one socket that may block run one after another, in a short-lived task per socket. Whatever the
socket sends meanwhile waits behind them as undecoded text, bounded in number and bytes.

The end of a socket comes last: what it sent before its goodbye, or before its connection was lost, takes
effect first, although its answers are not read. Only where we end it for something it did, what waits is
dropped. In both cases disconnect listeners run after the last handler, never concurrently with one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from service.sockets.call import Call, Later, Peer

#: Events of one socket that may wait, and their bytes. A device that waits for its acks needs few.
MAX_WAITING_EVENTS = 1000
MAX_WAITING_BYTES = 4 << 20
#: Events of one socket handled without letting other tasks run.
TURN_EVENTS = 64

Handler = Callable[[Call], "dict[str, Any] | Later | None"]
#: A handler that may block, and what it is called with.
Blocking = tuple[Handler, Call]


class Spawn(Protocol):
    """The part of the task port that is used here."""

    def spawn(self, function: Callable[..., object], *args: Any) -> None: ...
    def sleep(self, seconds: float) -> None: ...


class Inboxes:
    """The inboxes of all sockets of a node.

    Args:
        tasks: runs handlers that may block.
        handle: handles one event as it came, or returns what may block.
        run: runs a handler that may block; raises nothing.
        leave: called once for every socket that has ended, after its last handler.
    """

    def __init__(
        self,
        tasks: Spawn,
        handle: Callable[[Peer, int | None, str], Blocking | None],
        run: Callable[[Handler, Call], None],
        leave: Callable[[Peer], None],
    ) -> None:
        self._tasks = tasks
        self._handle = handle
        self._run = run
        self._leave = leave
        self._leaving: list[Peer] = []

    def begin(self, peer: Peer, blocking: Blocking) -> None:
        """Run a handler that may block; what the socket sends from now on waits for it."""
        peer.busy = True
        self._tasks.spawn(self._work, peer, blocking)

    def add(self, peer: Peer, ack_id: int | None, text: str) -> bool:
        """Put an event behind what waits; False: too much waits already."""
        inbox = peer.inbox
        if inbox is None:
            inbox = peer.inbox = deque()
        waiting_bytes = peer.waiting_bytes + len(text)
        if len(inbox) >= MAX_WAITING_EVENTS or waiting_bytes > MAX_WAITING_BYTES:
            return False
        peer.waiting_bytes = waiting_bytes
        inbox.append((ack_id, text))
        return True

    def insert(self, peer: Peer, blocking: Blocking) -> None:
        """Run a handler of ours for a socket, in its turn."""
        if not peer.busy:
            self.begin(peer, blocking)
            return
        if peer.inbox is None:
            peer.inbox = deque()
        peer.inbox.append(blocking)

    def end(self, peer: Peer, *, keep: bool) -> None:
        """Have the disconnect listeners of a socket run when its last handler has returned.

        Args:
            peer: it is closed, and sends nothing more.
            keep: whether what waits takes effect before.
        """
        if not keep:
            peer.inbox = None
            peer.waiting_bytes = 0
        if not peer.busy:  # else the task that is at work runs them
            peer.busy = True
            self._leaving.append(peer)
            if len(self._leaving) == 1:
                self._tasks.spawn(self._leave_all)

    def _leave_all(self) -> None:
        """Run the disconnect listeners of all sockets that have ended by now: they often end in crowds."""
        leaving, self._leaving = self._leaving, []
        for turn, peer in enumerate(leaving, 1):
            self._leave(peer)
            if turn % TURN_EVENTS == 0:
                self._tasks.sleep(0)

    def _work(self, peer: Peer, blocking: Blocking | None) -> None:
        """Run a handler that may block, then everything that came meanwhile."""
        turn = 0
        while True:
            if blocking is not None:
                self._run(*blocking)
                turn = 0
            inbox = peer.inbox
            if not inbox:
                break
            first, second = inbox.popleft()
            if callable(first):
                blocking = first, second
                continue
            peer.waiting_bytes -= len(second)
            blocking = self._handle(peer, first, second)
            turn += 1
            if turn >= TURN_EVENTS:
                turn = 0
                self._tasks.sleep(0)
        peer.inbox = None
        if peer.closed:
            self._leave(peer)
        else:
            peer.busy = False
