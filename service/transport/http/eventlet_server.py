"""eventlet's web server, reading requests through `Reader`; see the package."""

from __future__ import annotations

import _socket  # the original one, whatever is patched
import functools
import logging
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import eventlet
from eventlet import hubs, wsgi
from eventlet.greenio import GreenSocket

from service.protocol import handshake
from service.transport.http import guard, heads
from service.transport.http.client import Output
from service.transport.http.fields import Headers
from service.transport.http.guard import HttpGuard
from service.transport.http.heads import Refused
from service.transport.http.reader import KEEP_ALIVE_S

#: Connections accepted before other tasks get a turn.
TURN_ACCEPTS = 8
#: How long connections that wait to be accepted can delay the end of accepting, s.
LAST_ACCEPTS_S = 0.5
#: Host and port where there is a socket of Unix.
_UNIX = "unix", ""
_PlainSocket = eventlet.patcher.original("socket").socket


class _Listener:
    """The listening socket, which lets other tasks run while many connections come.

    eventlet/wsgi.py:1093 shuts down connections when accepting fails, those included on which a request has
    just come. So `accept` never ends by `close`.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        #: What it accepts with; None: eventlet does.
        self._plain = inner.fd if type(inner) is GreenSocket else None
        self._accepted = 0
        self._is_closed = False

    def accept(self) -> tuple[Any, Any]:
        self._accepted += 1
        if self._accepted % TURN_ACCEPTS == 0:
            eventlet.sleep(0)
        try:
            if self._plain is not None:
                try:
                    return self._accept_plain(self._plain)
                except BlockingIOError:
                    pass
            accepted: tuple[Any, Any] = self._inner.accept()
            return accepted
        except OSError:
            if self._is_closed:
                eventlet.Event().wait()
            raise

    def _accept_plain(self, listening: Any) -> tuple[Any, Any]:
        """Do what eventlet/greenio/base.py:214 does, without the enums that Python makes for each socket on the way.

        Raises:
            BlockingIOError: no connection waits.
        """
        descriptor, address = listening._accept()
        family, kind = _socket.socket.family, _socket.socket.type
        client = _PlainSocket(
            family.__get__(listening), kind.__get__(listening), listening.proto, fileno=descriptor
        )
        hubs.notify_opened(descriptor)
        return GreenSocket(client), address

    def close(self) -> None:
        """Let those in who have connected already, then close: the kernel would reset them."""
        waiting = eventlet.patcher.original("select").poll()
        waiting.register(self._inner.fileno(), select.POLLIN)
        deadline = time.monotonic() + LAST_ACCEPTS_S
        while waiting.poll(0) and time.monotonic() < deadline:
            eventlet.sleep(0)
        self._is_closed = True
        self._inner.close()

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

    @property
    def left(self) -> int | None:
        """Return how much of it was not read; None: that is not known."""
        return None if self.chunked_input else self.content_length - self.position

    def discard(self, buffer_size: int = 0) -> None:
        self.rfile.discard(self.left)


class Protocol(wsgi.HttpProtocol):  # type: ignore[misc]
    """One connection."""

    guard: HttpGuard
    served_by: dict[str, Any] | None = None
    _is_taken = False  #: the connection is no longer ours, and the request is not answered here
    application: Any

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
        self._client = self.guard.client(connection, self._ticket, self._address)
        self.rfile = self._client.reader
        self.wfile = Output(self._client, connection.makefile("wb", 0))

    def handle_one_request(self) -> None:
        refusal = self.guard.begin(self._client, self._address)
        if refusal is None:
            super().handle_one_request()
            # It refers to this connection, and only the garbage collector would free the two.
            self.environ: dict[str, Any] = {}
            return
        self.close_connection = True
        if refusal:
            self.connection.settimeout(1.0)
            self.wfile.write(refusal)
            self.wfile.flush()
            self.rfile.drain()

    def _read_request_line(self) -> bytes:
        """Take the whole head, which is read and checked already; eventlet only looks at the length of its line."""
        self._head = self._client.reader.take_head()
        return self._head[0]

    def parse_request(self) -> bool:
        request = heads.parse(self._head, self._client.reader.fields)
        self.requestline, self.command, self.path = request.line, request.command, request.path
        self.request_version = request.version
        self.headers = request.headers
        self.close_connection = request.is_last
        return True

    def handle_one_response(self) -> None:
        """Say in the answer that the connection ends, where the rest of a body is too long to be read."""
        application = self.application

        def answer(environ: dict[str, Any], start_response: Any) -> Any:
            result = application(environ, start_response)
            if self.rfile.closed or self.rfile.gives_up(environ["eventlet.input"].left):
                self.close_connection = True
            return result

        self.application = answer
        try:
            with self.guard.answering(self.environ):
                if self._asks_for_websocket():
                    self._ask_first()
                if not self._is_taken:
                    super().handle_one_response()
        finally:
            self.application = application
            self._is_taken = False

    def _asks_for_websocket(self) -> bool:
        """Return whether the request is one for a websocket, without a body."""
        body = self.environ["eventlet.input"]
        asked: str = self.environ.get(handshake.UPGRADE, "")
        return asked.lower() == "websocket" and body.left == 0 and body.wfile is None

    def _ask_first(self) -> None:
        """Ask the application before eventlet does, which need not answer at all if the connection is taken over.

        So it is mostly, and what eventlet does for an answer costs as much as the handshake. Another answer is kept
        for it.
        """
        application = self.application
        begun: list[tuple[Any, ...]] = []
        result: Any = ()
        failed: BaseException | None = None
        self.environ[guard.TAKEN] = self._take
        try:
            result = application(self.environ, lambda *args: begun.append(args))
        except (Exception, eventlet.Timeout) as error:  # noqa: BLE001  eventlet answers and logs it
            failed = error

        def say(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            for args in begun:
                start_response(*args)
            if failed is not None:
                raise failed
            return result

        self.application = say

    def _take(self) -> None:
        self._is_taken = self.close_connection = True

    def get_environ(self) -> dict[str, Any]:
        """Do what eventlet/wsgi.py:784 does, which takes 90 calls for the head of a websocket, and add what is ours."""
        environ = self._served_by()
        environ["REQUEST_METHOD"] = self.command
        environ["SCRIPT_NAME"] = ""
        path, has_query, query = self.path.partition("?")
        environ["RAW_PATH_INFO"] = path
        environ["PATH_INFO"] = unquote(path, encoding="latin1") if "%" in path else path
        if has_query:
            environ["QUERY_STRING"] = query
        headers: Headers = self.headers
        environ["CONTENT_TYPE"] = headers.get("content-type", "text/plain")
        length = headers.get("content-length")
        if length:
            environ["CONTENT_LENGTH"] = length
        environ["SERVER_PROTOCOL"] = "HTTP/1.0"
        server, client = self.request.getsockname(), self.client_address
        host, port = server[:2] if isinstance(server, tuple) else _UNIX
        environ["SERVER_NAME"], environ["SERVER_PORT"] = host, str(port)
        host, port = client[:2] if isinstance(client, tuple) else _UNIX
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = host, str(port)
        environ["GATEWAY_INTERFACE"] = "CGI/1.1"
        environ["headers_raw"] = tuple(headers.fields)
        headers.add_to(environ)
        is_expected = environ.get("HTTP_EXPECT", "").lower() == "100-continue"
        is_chunked = environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
        environ["wsgi.input"] = environ["eventlet.input"] = _Input(
            self.rfile,
            "0" if length is None and not is_chunked else length,
            self.connection,
            wfile=self.wfile if is_expected else None,
            wfile_line=b"HTTP/1.1 100 Continue\r\n" if is_expected else None,
            chunked_input=is_chunked,
        )
        environ["eventlet.posthooks"] = []
        environ["eventlet.set_idle"] = self._set_idle
        environ[handshake.HTTP_VERSION] = self.request_version
        environ[guard.KNOWN] = functools.partial(self._ticket.leave, is_known=True)
        environ[guard.CLIENT] = self._client
        environ[guard.CLOSE] = self._close_after_answer
        return environ

    def _served_by(self) -> dict[str, Any]:
        """Return what is the same in all environs of a server: eventlet/wsgi.py:926 asks for it each time."""
        protocol = type(self)
        if protocol.served_by is None:
            protocol.served_by = self.server.get_environ()
        return {**protocol.served_by, "wsgi.errors": sys.stderr}

    def _set_idle(self) -> None:
        self.conn_state[2] = wsgi.STATE_IDLE

    def _close_after_answer(self) -> None:
        self.close_connection = True

    def finish(self) -> None:
        self._client.finish()
        super().finish()


def _obeyed(app: Any) -> Any:
    """Let an application end its connection by the header `Connection: close`, as gevent does."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [one for one in headers if one[0].lower() != "connection" or one[1] != "close"]
            if len(kept) < len(headers):
                environ[guard.CLOSE]()  # the server writes the header then
            return start_response(status, kept, *more)

        return app(environ, start)

    return call


def start(listener: Any, app: Any, bounds: HttpGuard, max_connections: int) -> Callable[[], None]:
    """Start the web server in a task; what it returns closes the listening socket."""
    protocol = type("Protocol", (Protocol,), {"guard": bounds})
    accepting = _Listener(listener)

    def serve() -> None:
        try:
            wsgi.server(
                accepting,
                _obeyed(app),
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
    return accepting.close
