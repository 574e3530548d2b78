"""gevent's web server, reading requests through `Reader`; see the package."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from gevent import pywsgi

from service.protocol import handshake
from service.transport.http import guard
from service.transport.http.guard import HttpGuard
from service.transport.http.heads import Refused
from service.transport.http.reader import KEEP_ALIVE_S

#: Connections accepted before other tasks get a turn.
TURN_ACCEPTS = 8
#: Connections that are still accepted at the end.
LAST_ACCEPTS = 1024


class _Input(pywsgi.Input):  # type: ignore[misc]
    """A body whose chunks are read by `Reader`, and of which only a little is read and discarded."""

    __slots__ = ()

    def _chunked_read(self, length: int | None = None, use_readline: bool = False) -> bytes:
        self._send_100_continue()
        try:
            data: bytes = self.rfile.read_chunked(length, is_line=use_readline)
        except Refused as refused:
            self._chunked_input_error = True  # type: ignore[misc]  # one of the base's slots
            raise pywsgi._InvalidClientInput(str(refused)) from None
        return data

    @property
    def left(self) -> int | None:
        """Return how much of it was not read; None: that is not known."""
        return None if self.chunked_input else (self.content_length or 0) - self.position

    def _discard(self) -> None:
        if not self._chunked_input_error and not self.rfile.closed:
            self.rfile.discard(self.left)


class Handler(pywsgi.WSGIHandler):  # type: ignore[misc]
    """One connection."""

    response_headers: list[tuple[bytes, bytes]]

    def __init__(self, sock: Any, address: Any, server: Server) -> None:
        self._address = str(address[0]) if isinstance(address, tuple) else ""
        self._ticket = server.guard.ticket(self._address)
        if self._ticket is None:
            super().__init__(sock, address, server, rfile=_NOTHING)
            return
        self._client = server.guard.client(sock, self._ticket, self._address)
        super().__init__(sock, address, server, rfile=self._client.reader)

    def handle(self) -> None:
        if self._ticket is None:
            guard.turn_away(self.socket, guard.FULL)
            self.socket.close()
            return
        try:
            super().handle()
        finally:
            self._ticket.leave()

    def handle_one_request(self) -> Any:
        result = self._handle_next()
        if result is not True:  # the connection ends
            self._client.finish()
        return result

    def _handle_next(self) -> Any:
        refusal = self.server.guard.begin(self._client, self._address)
        if refusal is None:
            return super().handle_one_request()
        self.requestline = ""
        self.socket.settimeout(1.0)
        return (refusal[9:12].decode(), refusal) if refusal else None

    def handle_one_response(self) -> None:
        with self.server.guard.answering(self.environ):
            super().handle_one_response()

    def finalize_headers(self) -> None:
        """Add whether the connection ends here, as eventlet does."""
        super().finalize_headers()
        if self.code == 101:
            return
        is_asked = (b"connection", b"close") in (
            (name.lower(), value.lower()) for name, value in self.response_headers
        )
        if is_asked or self.rfile.closed or self.rfile.gives_up(self.wsgi_input.left):
            self.close_connection = True
        asked = self.headers.get("Connection", "").lower()
        headers = [one for one in self.response_headers if one[0].lower() != b"connection"]
        if self.close_connection:
            headers.append((b"Connection", b"close"))
        elif asked == "keep-alive":
            headers.append((b"Connection", b"keep-alive"))
            headers.append((b"Keep-Alive", b"timeout=%d" % KEEP_ALIVE_S))
        self.response_headers = headers

    def get_environ(self) -> dict[str, Any]:
        """Add the path as it was sent, as eventlet does: `%2F` is no slash."""
        environ: dict[str, Any] = super().get_environ()
        self.wsgi_input.__class__ = _Input
        # Where an upgrade is offered the library passes the connection on instead, and then discards a body
        # that was read already: the next request.
        environ["wsgi.input"] = self.wsgi_input
        environ["wsgi.input_terminated"] = True
        environ["RAW_PATH_INFO"] = self.path.partition("?")[0]
        if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            self.socket.settimeout(None)  # it has deadlines of its own
        assert self._ticket is not None
        environ[handshake.HTTP_VERSION] = self.request_version
        environ[guard.KNOWN] = functools.partial(self._ticket.leave, is_known=True)
        environ[guard.CLIENT] = self._client
        return environ

    def _sendall(self, data: bytes) -> None:
        try:
            super()._sendall(data)
        except OSError:
            self._client.wrote(is_whole=False)
            raise
        self._client.wrote()


class Server(pywsgi.WSGIServer):  # type: ignore[misc]
    """The server of one node."""

    guard: HttpGuard


_NOTHING = object()


def start(listener: Any, app: Any, bounds: HttpGuard, max_connections: int) -> Callable[[], None]:
    """Start the web server in a task; what it returns closes the listening socket."""
    server = Server(
        listener,
        app,
        log=None,
        error_log=logging.getLogger("gevent.pywsgi"),
        handler_class=Handler,
        spawn=max_connections,
    )
    server.guard = bounds
    server.max_accept = TURN_ACCEPTS
    server.start()

    def stop() -> None:
        server.stop_accepting()
        for _ in range(LAST_ACCEPTS):  # who has connected already: the kernel would reset them
            try:
                accepted = None if server.full() else server.do_read()
            except OSError:  # that one is gone
                continue
            if not accepted:
                break
            server.do_handle(*accepted)
        server.socket.close()

    return stop
