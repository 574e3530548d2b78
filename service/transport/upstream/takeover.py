"""Takeover of a connection from the web server that accepted it, after its request was read.

Written for eventlet 0.41.3 and gevent 26.9.0. The descriptor is detached, not duplicated: at the end of a
request both servers shut their connection down, which would end every duplicate. After the detach they find
descriptor -1 and do nothing.

* eventlet/wsgi.py:687 `WSGI_LOCAL.already_handled` keeps the server from answering; its own websockets use
  it too. Our web server needs less (`guard.TAKEN`). eventlet/wsgi.py:871 and :1101 shut down and close.
* gevent/pywsgi.py:770 and :813: a closed `rfile` ends the loop over the requests of a connection.

A client may send its first frame with the handshake, so what the server's buffered reader has read of it
is taken along.
"""

from __future__ import annotations

import _socket  # the original one, whatever is patched: a socket of our own that never switches
import socket
from typing import Any

from service.transport.http.guard import TAKEN

#: Numbers, of which `socket.socket` makes members of enums, in four calls each.
_family, _kind = _socket.socket.family.__get__, _socket.socket.type.__get__


class CannotDetach(Exception):
    """Not a plain socket, such as one with TLS: the library transport serves it."""


def detach(async_mode: str, environ: dict[str, Any]) -> tuple[Any, bytes]:
    """Return a non-blocking socket, detached from the web server, and what was read ahead.

    Raises:
        CannotDetach: nothing was changed.
    """
    if async_mode == "gevent":
        return _detach_gevent(environ)
    return _detach_eventlet(environ)


def borrow(async_mode: str, environ: dict[str, Any]) -> tuple[Any, bytes]:
    """Return the green socket of a request, for as long as its task runs, and what was read ahead.

    The web server sends no answer.
    """
    green, reader = _find(async_mode, environ)
    early = _read_ahead(green, reader)
    green.settimeout(None)  # a websocket has deadlines of its own
    if async_mode == "eventlet":
        _answer_nothing(environ)
    return green, early


def _find(async_mode: str, environ: dict[str, Any]) -> tuple[Any, Any]:
    """Return the socket of a request and the reader over it."""
    if async_mode == "eventlet":
        source = environ["eventlet.input"]
        return source.get_socket(), source.rfile
    source = environ["wsgi.input"]
    reader = getattr(source, "rfile", source)
    return reader.raw._sock, reader


def _answer_nothing(environ: dict[str, Any]) -> None:
    if TAKEN in environ:
        environ[TAKEN]()
    else:
        from eventlet import wsgi

        wsgi.WSGI_LOCAL.already_handled = True


def _detach_eventlet(environ: dict[str, Any]) -> tuple[Any, bytes]:
    green, reader = _find("eventlet", environ)
    inner = getattr(green, "fd", None)
    if hasattr(green, "do_handshake") or not isinstance(inner, _socket.socket):
        raise CannotDetach
    early = _read_ahead(green, reader)
    raw = _adopt(_family(inner), _kind(inner), inner.proto, inner.detach())
    _answer_nothing(environ)
    return raw, early


def _detach_gevent(environ: dict[str, Any]) -> tuple[Any, bytes]:
    green, reader = _find("gevent", environ)
    if hasattr(green, "do_handshake"):
        raise CannotDetach
    early = _read_ahead(green, reader)
    raw = _adopt(green.family, green.type, green.proto, green.detach())
    try:
        reader.close()
    except OSError:
        pass
    return raw, early


def _read_ahead(green: Any, reader: Any) -> bytes:
    green.settimeout(0)
    try:
        return bytes(reader.peek(1) or b"")
    except OSError:  # nothing there
        return b""


def _adopt(family: int, kind: int, proto: int, descriptor: int) -> Any:
    raw = _socket.socket(family, kind, proto, fileno=descriptor)
    raw.setblocking(False)
    if family in (socket.AF_INET, socket.AF_INET6):
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # frames leave at once
        except OSError:  # the peer is gone already
            pass
    return raw
