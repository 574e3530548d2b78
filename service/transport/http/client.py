"""The client of one HTTP connection, as those see it who answer a request: is it there, did the answer arrive?

Engine.IO has no acknowledgement for the answer of a poll, so what TCP tells must do. An answer is lost if

* writing it failed, or the client's kernel (behind a proxy: the proxy's) did not acknowledge all of it;
* the connection is reset soon after: a client that closes with unread input does that. So does HAProxy when
  all is well, which shows at other requests of the same client: then a reset means nothing.
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
_FIRST_LOOK_S, _LAST_LOOK_S = 0.002, 0.1


class Client:
    """The other end of one connection.

    Args:
        sock: a green socket.
    """

    def __init__(
        self,
        sock: Any,
        reader: Reader,
        sleep: Callable[[float], object] = time.sleep,  # green: the process is patched
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sock = sock
        self.reader = reader
        self._sleep = sleep
        self._now = now
        self._expected: tuple[Callable[[], object], Callable[[], object]] | None = None
        self._until = 0.0  # a reset casts doubt
        self._is_broken = False

    @property
    def received(self) -> int:
        """Return how much came in so far."""
        return self.reader.received

    def is_gone(self) -> bool:
        """Return whether it has hung up: nobody waits for an answer any more."""
        return peer.is_gone(self._sock)

    def unacknowledged(self) -> int:
        """Return how much of what was written has not arrived."""
        return peer.unacknowledged(self._sock)

    def end(self) -> None:
        """Take no further request from it."""
        self.reader.close()

    # --- an answer that must arrive

    def expect_answer(self, lost: Callable[[], object], reset: Callable[[], object]) -> None:
        """Watch over what is written next.

        Args:
            lost: called if it does not arrive.
            reset: called if it arrives, and its connection is reset within `RESET_S`.
        """
        self._expected = (lost, reset)
        self._until = self._now() + RESET_S

    @property
    def is_awaited(self) -> bool:
        """Whether an answer is watched over."""
        return self._expected is not None

    def write(self, data: bytes) -> None:
        """Write to it, and note when that fails."""
        try:
            self._sock.sendall(data)
        except OSError:
            self.broken()
            raise

    def broken(self) -> None:
        """Note that a write has failed: what was to be written is lost."""
        self._is_broken = True

    def asked_again(self) -> None:
        """Handle its next request: it has the answer to the last one, unless it did not wait for it."""
        if self._expected is not None and not self.unacknowledged():
            self._expected = None

    def await_answer(self) -> None:
        """Wait until the answer has arrived, or call who is to know that it was lost."""
        if self._expected is None:
            return
        is_through = not self._is_broken and self._comes_through()
        self._conclude(is_through, peer.is_reset(self._sock))

    def finish(self) -> None:
        """See to the last answer, before the connection is closed."""
        if self._expected is None:
            return
        is_reset = peer.is_reset(self._sock)
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client has ended it
        is_through = not self._is_broken and self._comes_through(end=1)
        self._conclude(is_through, is_reset or (is_through and self._ends_with_a_reset()))

    def _conclude(self, is_through: bool, is_reset: bool) -> None:
        expected, self._expected = self._expected, None
        if expected is None:
            return  # somebody else has waited for the same
        lost, reset = expected
        if not is_through:
            lost()
        elif is_reset and self._now() < self._until:
            reset()

    def _comes_through(self, end: int = 0) -> bool:
        """Wait until all has arrived, but for our `end`, which counts as one; False if it does not."""
        left, until, look_s = self.unacknowledged() - end, self._now() + PATIENCE_S, _FIRST_LOOK_S
        while left > 0:
            if self._now() >= until or peer.is_reset(self._sock):
                return False
            self._sleep(look_s)
            look_s = min(2 * look_s, _LAST_LOOK_S)
            still = self.unacknowledged() - end
            if still < left:
                left, until = still, self._now() + PATIENCE_S
                self._until = self._now() + RESET_S
        return True

    def _ends_with_a_reset(self) -> bool:
        """Return how the client ends its half, once it has our end; after a second it has read it."""
        try:
            self._sock.settimeout(RESET_S)
            self._sock.recv(1)
        except ConnectionResetError:
            return True
        except OSError:  # it keeps its half open
            pass
        return False


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
