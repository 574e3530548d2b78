"""The listening socket of a node."""

from __future__ import annotations

import socket

from service.node.http_server import bind


def test_accepted_connection_sends_small_writes_at_once() -> None:
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
