"""Takeover of a connection from the web server that accepted it, after its request was read.

Written for eventlet 0.41.3 and gevent 26.9.0. The descriptor is detached, not duplicated: at the end of a
request both servers shut their connection down, which would end every duplicate. After the detach they find
descriptor -1 and do nothing.

* eventlet/wsgi.py:687 `WSGI_LOCAL.already_handled` keeps the server from answering; its own websockets use
  it too. eventlet/wsgi.py:871 and :1101 shut down and close.
* gevent/pywsgi.py:770 and :813: a closed `rfile` ends the loop over the requests of a connection.

A client may send its first frame with the handshake, so what the server's buffered reader has read of it
is taken along.
"""

from __future__ import annotations

import _socket  # the original one, whatever is patched: a socket of our own that never switches
import socket
from typing import Any


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


def _detach_eventlet(environ: dict[str, Any]) -> tuple[Any, bytes]:
    from eventlet import wsgi

    source = environ["eventlet.input"]
    green = source.get_socket()
    inner = getattr(green, "fd", None)
    if hasattr(green, "do_handshake") or not isinstance(inner, _socket.socket):
        raise CannotDetach
    early = _read_ahead(green, source.rfile)
    raw = _adopt(inner.family, inner.type, inner.proto, inner.detach())
    wsgi.WSGI_LOCAL.already_handled = True
    return raw, early


def _detach_gevent(environ: dict[str, Any]) -> tuple[Any, bytes]:
    source = environ["wsgi.input"]
    reader = getattr(source, "rfile", source)
    green = getattr(getattr(reader, "raw", None), "_sock", None)
    if green is None or hasattr(green, "do_handshake"):
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
