"""The driver: what all links of a node share, and the interface of a link's owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from service.native import NativeParser, Reader, Updates
from service.protocol.frames import Fault, Parser
from service.transport.hub import Hub
from service.transport.rounds import Rounds
from service.transport.turns import Turns
from service.transport.wheel import Wheel

#: Read at a time; then other sockets get their turn.
READ_BYTES = 64 * 1024


class Owner(Protocol):
    """Receives what a link reads, always in the loop: nothing of it may block."""

    def on_text(self, text: str) -> None: ...
    def on_binary(self, data: bytes | bytearray) -> None: ...

    def on_updates(self, updates: Updates) -> bool:
        """Handle updates that were read in C, all of them; False: none was, as texts they come one by one."""

    def on_control(self, size: int) -> None:
        """Handle that a ping, pong or close with so many bytes came; the link answers it."""

    def on_fault(self, fault: Fault) -> bytes:
        """Return the last frame to send to a peer that broke the protocol, or b""."""

    def on_overflow(self) -> None:
        """Handle that more than `max_pending_bytes` wait. They were dropped; only `finish` has an effect."""

    def on_lost(self) -> None:
        """Handle that the peer closed, vanished or broke the protocol. Not called after `finish`."""

    def on_cut(self) -> None:
        """Handle that the descriptor is closed. Called once, whatever ended the link."""


class Sender(Protocol):
    """A link with frames that wait for the end of the turn."""

    def flush(self) -> None: ...
    def broken(self, error: Exception) -> None: ...


class Driver:
    """What all links of a node share.

    Args:
        max_bytes: longest message.
        max_pending_bytes: what may wait for one peer.
        count_received: called with the number of bytes that came in.
        turns: the share of peers that have not logged in; None: they have no share of their own.
        reader: reads in C; None: Python does.
        is_busy: whether devices are read in rounds, at the moment.
    """

    def __init__(
        self,
        hub: Hub,
        wheel: Wheel,
        max_bytes: int,
        max_pending_bytes: int,
        count_received: Callable[[int], object],
        turns: Turns | None = None,
        reader: Reader | None = None,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.hub = hub
        #: Watches the sockets of registered devices; None: this system has no epoll.
        self.rounds = Rounds(hub, poll, is_busy) if (poll := hub.epoll()) is not None else None
        self.turns = turns
        self.wheel = wheel
        self.max_bytes = max_bytes
        self.reader = reader
        self.max_pending_bytes = max_pending_bytes
        self.count_received = count_received
        self.buffer = bytearray(READ_BYTES)
        self.view = memoryview(self.buffer)
        self._unsent: list[Sender] = []

    def parser(self) -> Parser | NativeParser:
        """Return the input of a connection."""
        return Parser(self.max_bytes) if self.reader is None else self.reader.parser()

    def filled(self) -> None:
        """Note that a read filled the buffer: there may be more."""
        if self.rounds is not None:
            self.rounds.has_more = True

    def read_waiting(self) -> None:
        """Read now what waits for the next round."""
        if self.rounds is not None:
            self.rounds.read()

    def close(self) -> None:
        """Watch nothing any more."""
        if self.rounds is not None:
            self.rounds.close()

    def send_soon(self, link: Sender) -> None:
        """Call the link's `flush` at the end of the loop's turn."""
        if not self._unsent:
            self.hub.soon(self._flush)
        self._unsent.append(link)

    def _flush(self) -> None:
        links, self._unsent = self._unsent, []
        for link in links:
            try:
                link.flush()
            except Exception as error:  # noqa: BLE001  logged; the others want to send too
                link.broken(error)


class NoOwner:
    """The owner of a link that is closed."""

    def on_text(self, text: str) -> None: ...
    def on_binary(self, data: bytes | bytearray) -> None: ...
    def on_updates(self, updates: Updates) -> bool:
        return True

    def on_control(self, size: int) -> None: ...
    def on_fault(self, fault: Fault) -> bytes:
        return b""

    def on_overflow(self) -> None: ...
    def on_lost(self) -> None: ...
    def on_cut(self) -> None: ...


NO_OWNER: Owner = NoOwner()
