"""A network between client and node that passes so many bytes a second, and keeps hardly any."""

from __future__ import annotations

import socket
import time

from tests.support.system.relays import Relay

BUFFER_BYTES = 8192


class SlowNetwork(Relay):
    """Keeps to its rate.

    Args:
        port: of the node.
        rate: bytes per second, in each direction of each connection.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._rate = rate
        super().__init__(port)

    def prepared(self, one: socket.socket) -> socket.socket:
        """Give it small buffers, so that what it has taken is on its way."""
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            one.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        return one

    def passed(self, data: bytes, due_s: float) -> tuple[bytes, float]:
        due_s = max(due_s, time.monotonic()) + len(data) / self._rate
        time.sleep(max(0.0, due_s - time.monotonic()))  # it is what a slow network does
        return data, due_s
