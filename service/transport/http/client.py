"""The client of one HTTP connection, as those see it who answer a request: is it there, did the answer arrive?

Engine.IO has no acknowledgement for the answer of a poll, so what TCP tells must do. An answer is lost if

* writing it failed, or the client's kernel (behind a proxy: the proxy's) did not acknowledge all of it;
* the connection is reset soon after: a client that closes with unread input does that. But HAProxy does so
  when all is well. So this counts only where most other connections of the same address are closed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from service.transport import peer
from service.transport.http.reader import Reader

#: How long an answer may stay unacknowledged without any progress, s.
PATIENCE_S = 2.0
#: How soon after an answer a reset casts doubt on it, s.
RESET_S = 1.0
#: Of how many addresses, and of how many connections of each, it is remembered how they end.
MAX_ADDRESSES = 1000
MAX_COUNTED = 64
_FIRST_LOOK_S, _LAST_LOOK_S = 0.002, 0.1


def _no_listener() -> None:
    """Stand for the one who is to know of a loss, where there is none."""


class Ends:
    """How the connections of each address have ended lately after an answer that certainly arrived."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}  # closed, reset

    def note(self, address: str, *, is_reset: bool) -> None:
        closed, reset = self._counts.get(address, (0, 0))
        closed, reset = closed + (not is_reset), reset + is_reset
        if closed + reset > MAX_COUNTED:
            closed, reset = closed // 2, reset // 2
        if len(self._counts) >= MAX_ADDRESSES:
            self._counts.clear()  # they are soon seen again
        self._counts[address] = (closed, reset)

    def is_reset_unusual(self, address: str) -> bool:
        """Return whether they are mostly closed."""
        closed, reset = self._counts.get(address, (0, 0))
        return closed > reset


class Client:
    """The other end of one connection.

    Args:
        sock: a green socket.
        address: the other end's, be it a client or its proxy.
        ends: of all connections of the node.
    """

    def __init__(
        self,
        sock: Any,
        reader: Reader,
        address: str,
        ends: Ends,
        sleep: Callable[[float], object] = time.sleep,  # green: the process is patched
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sock = sock
        self.reader = reader
        self._address = address
        self._ends = ends
        self._sleep = sleep
        self._now = now
        self._lost: Callable[[], object] | None = None
        self._is_broken = False
        self._has_ended = False  # our half is closed
        self._until = 0.0  # a reset casts doubt on what was written last

    @property
    def received(self) -> int:
        """Return how much came in so far."""
        return self.reader.received

    def is_gone(self) -> bool:
        """Return whether it has hung up, and waits for no answer any more."""
        return peer.is_gone(self._sock)

    def unacknowledged(self) -> int:
        """Return how much of what was written has not arrived."""
        return peer.unacknowledged(self._sock)

    def end(self) -> None:
        """Take no further request from it."""
        self.reader.close()

    # --- what became of an answer

    def expect_answer(self, lost: Callable[[], object]) -> None:
        """Watch over what is written next, and call `lost` if it does not arrive."""
        self._lost = lost

    def watch_end(self) -> None:
        """Learn from what is written next how this client ends its connections."""
        if self._lost is None:
            self._lost = _no_listener

    def write(self, data: bytes) -> None:
        """Write to it."""
        try:
            self._sock.sendall(data)
        except OSError:
            self.wrote(is_whole=False)
            raise
        self.wrote()

    def wrote(self, *, is_whole: bool = True) -> None:
        """Note that something was written; if not all of it, the answer is lost."""
        self._is_broken = self._is_broken or not is_whole
        self._until = self._now() + RESET_S

    def asked_again(self) -> None:
        """Handle its next request: it has the answer to the last one, unless it did not wait for it."""
        self._until = 0.0
        if self._lost is not None and not self.unacknowledged():
            self._lost = None

    def await_answer(self) -> None:
        """Wait until the answer has arrived, or call who is to know that it was lost."""
        if self._lost is None:
            return
        is_through = not self._is_broken and self._comes_through()
        self._conclude(is_through, self._is_reset())

    def finish(self) -> None:
        """See to the last answer, before the connection is closed."""
        if self._sock.fileno() < 0:
            return  # it is a websocket by now, and not ours any more
        is_reset = self._is_reset()
        self._note_end(is_reset=is_reset)
        if self._lost is None:
            return
        self._has_ended = True
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client has ended it
        is_through = not self._is_broken and self._comes_through()
        self._conclude(is_through, is_reset or (is_through and self._ends_with_a_reset()))

    def _note_end(self, *, is_reset: bool) -> None:
        """Note how this connection ends after an answer that certainly arrived."""
        if self._is_broken or self._lost not in (None, _no_listener):
            return
        is_answered = self._until and not self.unacknowledged()
        is_soon = self._now() < self._until
        if is_answered and self.is_gone() and (is_soon or not is_reset):
            self._ends.note(self._address, is_reset=is_reset)

    def _conclude(self, is_through: bool, is_reset: bool) -> None:
        lost, self._lost = self._lost, None
        if lost is None:
            return  # another task has waited for the same
        is_doubtful = is_through and is_reset and self._now() < self._until
        if lost is _no_listener:
            if is_doubtful:
                self._ends.note(self._address, is_reset=True)
        elif not is_through or (is_doubtful and self._ends.is_reset_unusual(self._address)):
            lost()

    def _comes_through(self) -> bool:
        """Wait until all has arrived; False if it does not."""
        end = int(self._has_ended)  # counts as a byte
        left, until, look_s = self.unacknowledged() - end, self._now() + PATIENCE_S, _FIRST_LOOK_S
        while left > 0:
            if self._now() >= until or peer.is_over(self._sock):
                return False
            self._sleep(look_s)
            look_s = min(2 * look_s, _LAST_LOOK_S)
            still = self.unacknowledged() - end
            if still < left:
                left, until = still, self._now() + PATIENCE_S
                self._until = self._now() + RESET_S
        return True

    def _ends_with_a_reset(self) -> bool:
        """Return whether the client resets the connection once it has our end, instead of closing its own."""
        until = self._now() + RESET_S
        while not peer.is_over(self._sock) and self._now() < until:
            self._sleep(_LAST_LOOK_S / 5)
        return self._is_reset()

    def _is_reset(self) -> bool:
        if not peer.is_over(self._sock):
            return False
        # One that both have closed is over too; eventlet's `recv` does not tell the two apart.
        is_error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        return is_error or not self._has_ended


class Output:
    """The file that eventlet writes its answers to, without a buffer.

    Args:
        held: a file of the same connection. As long as it is open a websocket that closes its socket does
            not close the connection with input unread, which would reset it.
    """

    closed = False

    def __init__(self, client: Client, held: Any) -> None:
        self._client = client
        self._held = held

    def write(self, data: bytes) -> int:
        self._client.write(data)
        return len(data)

    def writelines(self, parts: list[bytes]) -> None:
        self._client.write(b"".join(parts))

    def flush(self) -> None:
        """Part of the interface: nothing waits here."""

    def close(self) -> None:
        self.closed = True
        self._held.close()
