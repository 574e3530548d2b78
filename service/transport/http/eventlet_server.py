"""eventlet's web server, reading requests through `Reader`; see the package."""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable
from typing import Any

import eventlet
from eventlet import wsgi

from service.transport.http import guard
from service.transport.http.guard import HttpGuard
from service.transport.http.heads import Refused
from service.transport.http.reader import KEEP_ALIVE_S

#: Connections accepted before other tasks get a turn.
TURN_ACCEPTS = 8


class _Listener:
    """The listening socket, which lets other tasks run while many connections come."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._accepted = 0

    def accept(self) -> tuple[Any, Any]:
        self._accepted += 1
        if self._accepted % TURN_ACCEPTS == 0:
            eventlet.sleep(0)
        accepted: tuple[Any, Any] = self._inner.accept()
        return accepted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Input(wsgi.Input):  # type: ignore[misc]
    """A body whose chunks are read by `Reader`, and of which only a little is read and discarded."""

    def _chunked_read(
        self, rfile: Any, length: int | None = None, use_readline: bool = False
    ) -> bytes:
        if self.should_send_hundred_continue:
            self.send_hundred_continue_response()
            self.is_hundred_continue_response_sent = True
        try:
            data: bytes = rfile.read_chunked(length, is_line=use_readline)
        except Refused as refused:
            raise wsgi.ChunkReadError(refused) from None
        return data

    def discard(self, buffer_size: int = 0) -> None:
        self.rfile.discard(None if self.chunked_input else self.content_length - self.position)


class Protocol(wsgi.HttpProtocol):  # type: ignore[misc]
    """One connection."""

    guard: HttpGuard

    def __init__(self, conn_state: list[Any], server: Any) -> None:
        address = wsgi.addr_to_host_port(conn_state[0])[0]
        ticket = self.guard.ticket(address)
        if ticket is None:
            guard.turn_away(conn_state[1], guard.FULL)
            return
        self._address = address
        self._ticket = ticket
        try:
            super().__init__(conn_state, server)
        finally:
            ticket.leave()

    def setup(self) -> None:
        self.connection = connection = self.request
        if hasattr(socket, "TCP_QUICKACK"):  # as eventlet does
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, True)
            except OSError:
                pass
        self.rfile = self.guard.reader(connection, self._ticket)
        self.wfile = connection.makefile("wb", self.wbufsize)

    def handle_one_request(self) -> None:
        refusal = self.guard.begin(self.rfile, self._address)
        if refusal is None:
            super().handle_one_request()
            return
        self.close_connection = True
        if refusal:
            self.connection.settimeout(1.0)
            self.wfile.write(refusal)
            self.wfile.flush()
            self.rfile.drain()

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["eventlet.input"].__class__ = _Input
        environ[guard.KNOWN] = functools.partial(self._ticket.leave, is_known=True)
        return environ


def start(listener: Any, app: Any, bounds: HttpGuard, max_connections: int) -> Callable[[], None]:
    """Start the web server in a task; what it returns closes the listening socket."""
    protocol = type("Protocol", (Protocol,), {"guard": bounds})

    def serve() -> None:
        try:
            wsgi.server(
                _Listener(listener),
                app,
                max_size=max_connections,
                protocol=protocol,
                log_output=False,
                debug=False,
                log=logging.getLogger("eventlet.wsgi"),
                keepalive=KEEP_ALIVE_S,
                socket_timeout=KEEP_ALIVE_S,
            )
        except OSError:  # the listening socket was closed
            pass

    eventlet.spawn(serve)
    close: Callable[[], None] = listener.close
    return close
