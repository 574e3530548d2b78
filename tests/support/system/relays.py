"""Between client and node: what passes on what comes, changed or slowly, and ends with all its threads."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

PIECE_BYTES = 4096


class Relay:
    """Listens for clients, connects each to the node on this port, and passes on what comes as it is."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = self.prepared(socket.socket())
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def end(self) -> None:
        """Cut all connections. What waits at a socket is woken by a shutdown, and by no close."""
        for thread in self._threads:  # the first is the one that adds to them
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            thread.join(30)
            assert not thread.is_alive(), thread
        for one in self._sockets:
            one.close()

    def prepared(self, one: socket.socket) -> socket.socket:
        """A socket as this network has them."""
        return one

    def passed(self, data: bytes, due_s: float) -> tuple[bytes, float]:
        """What goes on, when it may, and when what follows may."""
        return data, due_s

    def _start(self, function: Callable[..., None], *ends: socket.socket) -> None:
        self._threads.append(threading.Thread(target=function, args=ends, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                node = self.prepared(socket.socket())
                self._sockets += [client, node]
                node.connect(("127.0.0.1", self._to))
                for ends in ((client, node), (node, client)):
                    self._start(self._pass_on, *ends)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        due_s = 0.0
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                data, due_s = self.passed(data, due_s)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
