"""Program of `test_environ`: makes environs by our protocol and by eventlet's own, and compares them."""

from __future__ import annotations

import io
import itertools
import sys
from types import SimpleNamespace
from typing import Any

from eventlet import wsgi

from service.transport.http.eventlet_server import Protocol
from service.transport.http.heads import parse
from tests.unit.transport.http.test_headers import HEADS, HOST

MORE_HEADS = [
    [
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
        HOST,
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        b"sec-websocket-version: 13",
    ],
    [b"GET /a%2Fb%c3%a4%zz?a=%20?b HTTP/1.1", HOST, b"Accept: a", b"ACCEPT: b", b"accept: c"],
    [b"GET /? HTTP/1.1", HOST, b"Content_Type: x", b"content-TYPE: text/html", b"X-Y-: \xe4 "],
    [b"PUT /a HTTP/1.1", HOST, b"Content-Length: 0", b"EXPECT: 100-Continue", b"Content-Type:"],
    [b"GET /a HTTP/1.1", HOST, b"Content-Type: a", b"Content-Type: b", b"Expect:"],
]
ADDRESSES = [("1.2.3.4", 5), ("::1", 80, 0, 0), "", None]
SERVERS: list[dict[str, Any]] = [{}, {"tls": True}, {"environ": {"a": 1}}]
OURS = {"muster.http_version", "muster.known", "muster.client", "muster.close"}


class _Server:
    """What eventlet's server answers for all its requests."""

    def __init__(self, **options: Any) -> None:
        self.environ = options.get("environ")
        self.socket = SimpleNamespace(do_handshake=1) if options.get("tls") else object()

    get_environ = wsgi.Server.get_environ


def environ_of(kind: Any, head: list[bytes], server: _Server, address: Any) -> dict[str, Any]:
    request = parse(head)
    protocol = kind.__new__(kind)
    protocol.command, protocol.path = request.command, request.path
    protocol.headers = request.headers
    if kind is wsgi.HttpProtocol:  # as it asks for headers
        protocol.headers = SimpleNamespace(
            _headers=request.headers.fields,
            get=request.headers.get,
            get_content_type=lambda: "text/plain",
        )
    protocol.request_version = request.version
    protocol.server = server
    protocol.request = protocol.connection = SimpleNamespace(getsockname=lambda: address)
    protocol.client_address = address
    protocol.conn_state = [None, None, "request"]
    protocol.rfile, protocol.wfile = io.BytesIO(), io.BytesIO()
    protocol._ticket = protocol._client = SimpleNamespace(leave=print)
    environ: dict[str, Any] = protocol.get_environ()
    environ.pop("eventlet.set_idle")()
    assert protocol.conn_state[2] == wsgi.STATE_IDLE
    return environ


def inputs_of(environ: dict[str, Any]) -> dict[str, Any]:
    taken = environ.pop("eventlet.input")
    assert environ.pop("wsgi.input") is taken and isinstance(taken, wsgi.Input)
    names = ("content_length", "chunked_input", "wfile_line", "should_send_hundred_continue")
    return {name: getattr(taken, name) for name in names}


def compare(head: list[bytes], address: Any, options: dict[str, Any]) -> None:
    kind, server, hooks = type("Kind", (Protocol,), {}), _Server(**options), []
    for _ in range(2):  # the second one of a server, too
        theirs = environ_of(wsgi.HttpProtocol, head, server, address)
        ours = environ_of(kind, head, server, address)
        assert inputs_of(theirs) == inputs_of(ours)
        assert {name: ours[name] for name in theirs} == theirs
        assert ours.keys() - theirs.keys() == OURS
        assert ours["wsgi.errors"] is sys.stderr
        ours["wsgi.url_scheme"] = "changed"  # by one request; the next has its own
        hooks.append(ours["eventlet.posthooks"])
    assert hooks[0] is not hooks[1]


if __name__ == "__main__":
    cases = list(itertools.product(HEADS + MORE_HEADS, ADDRESSES, SERVERS))
    for case in cases:
        compare(*case)
    print(len(cases))
