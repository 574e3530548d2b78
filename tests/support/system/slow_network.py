"""A network between client and node that passes so many bytes a second, and keeps hardly any."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

PIECE_BYTES = 4096
BUFFER_BYTES = 8192


class SlowNetwork:
    """Listens for clients, connects to a node.

    Args:
        rate: bytes per second, in each direction of each connection.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._to = port
        self._rate = rate
        self._listener = _small(socket.socket())
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def end(self) -> None:
        self._listener.close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                node = _small(socket.socket())
                node.connect(("127.0.0.1", self._to))
                self._sockets += [client, node]
                for ends in ((client, node), (node, client)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        due_s = time.monotonic()
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                due_s = max(due_s, time.monotonic()) + len(data) / self._rate
                time.sleep(max(0.0, due_s - time.monotonic()))  # it is what a slow network does
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def _small(one: socket.socket) -> socket.socket:
    """Give it small buffers, so that what it has taken is on its way."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        one.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    return one
